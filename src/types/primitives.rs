//! `FlatStruct` for the numbers, `bool` and arrays.

use super::{
    FlatStruct, KeyHolder, Layout, Scalar, ValueKind,
    derive_support::{ArrayName, BadValue, assert_has_elements},
};

macro_rules! numbers {
    ($($type:ty, $scalar:ident, $idl:literal;)*) => {$(
        // SAFETY: a number of a fixed size: no padding, no pointer, any bit pattern is a value.
        unsafe impl FlatStruct for $type {
            const TYPE_NAME: &'static str = $idl;
            const LAYOUT: &'static Layout = &Layout::Scalar(Scalar::$scalar);
            const IN_PLACE: bool = true;
            const HAS_PADDING: bool = false;
            const HAS_KEY: bool = false;
            const KEY_IS_AMBIGUOUS: bool = false;

            fn check_values(_: &[u8]) -> Result<(), BadValue> {
                Ok(())
            }

            fn zero_padding(_: &mut [u8]) {}

            fn write_key(&self, key: &mut KeyHolder) {
                key.put(self.to_be_bytes());
            }
        }
    )*};
}

numbers! {
    u8, U8, "uint8";
    u16, U16, "uint16";
    u32, U32, "uint32";
    u64, U64, "uint64";
    i8, I8, "int8";
    i16, I16, "int16";
    i32, I32, "int32";
    i64, I64, "int64";
    f32, F32, "float";
    f64, F64, "double";
}

// SAFETY: one octet, no padding, no pointer; only 0 and 1 pass check_values.
unsafe impl FlatStruct for bool {
    const TYPE_NAME: &'static str = "boolean";
    const LAYOUT: &'static Layout = &Layout::Scalar(Scalar::B8);
    const IN_PLACE: bool = false;
    const HAS_PADDING: bool = false;
    const HAS_KEY: bool = false;
    const KEY_IS_AMBIGUOUS: bool = false;

    fn check_values(bytes: &[u8]) -> Result<(), BadValue> {
        match bytes[0] {
            0 | 1 => Ok(()),
            other => Err(BadValue { offset: 0, found: i64::from(other), kind: ValueKind::Bool }),
        }
    }

    fn zero_padding(_: &mut [u8]) {}

    fn write_key(&self, key: &mut KeyHolder) {
        key.put([u8::from(*self)]);
    }
}

// SAFETY: elements lie side by side without gaps, and are flat themselves. N is not 0: naming
// LAYOUT stops the build otherwise.
unsafe impl<T: FlatStruct, const N: usize> FlatStruct for [T; N] {
    const TYPE_NAME: &'static str = ArrayName::<T, N>::NAME;
    const LAYOUT: &'static Layout = {
        assert_has_elements(N);
        &Layout::Array { count: N, element: T::LAYOUT }
    };
    const IN_PLACE: bool = T::IN_PLACE;
    const HAS_PADDING: bool = T::HAS_PADDING;
    const HAS_KEY: bool = false;
    // DDS-XTypes puts a length in front of an array of non-primitives; implementations differ in
    // what they take to be one (enums), and in whether the elements are reduced to their own keys.
    const KEY_IS_AMBIGUOUS: bool = match Self::LAYOUT.flattened().1 {
        Layout::Scalar(Scalar::E32) | Layout::Struct { .. } => true,
        Layout::Scalar(_) | Layout::Array { .. } => false,
    };

    fn check_values(bytes: &[u8]) -> Result<(), BadValue> {
        let size = size_of::<T>();
        for (index, element) in bytes.chunks_exact(size).enumerate() {
            T::check_values(element)
                .map_err(|bad| BadValue { offset: index * size + bad.offset, ..bad })?;
        }
        Ok(())
    }

    fn zero_padding(bytes: &mut [u8]) {
        if T::HAS_PADDING {
            bytes.chunks_exact_mut(size_of::<T>()).take(N).for_each(T::zero_padding);
        }
    }

    fn write_key(&self, key: &mut KeyHolder) {
        self.iter().for_each(|element| element.write_key(key));
    }
}
