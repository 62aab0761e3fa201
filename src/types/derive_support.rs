//! What the code made by `#[derive(FlatStruct)]` calls. Not for use by hand: no stability.

use super::{FlatStruct, Layout, Scalar, ValueKind};

/// The first octets that are no value, relative to the type that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadValue {
    /// Where.
    pub offset: usize,
    /// The number found there.
    pub found: i64,
    /// What there should be.
    pub kind: ValueKind,
}

/// `u8` and arrays of it: what can be characters or explicit padding.
///
/// # Safety
///
/// Every octet of the type is a `u8`, and `CHARS` describes the same memory as `LAYOUT`.
#[diagnostic::on_unimplemented(
    message = "#[flat(pad)] and #[flat(char)] are for `u8` and `[u8; N]`, not for `{Self}`",
    label = "not octets"
)]
pub unsafe trait Octets: FlatStruct {
    /// The layout with each octet as a character.
    const CHARS: &'static Layout;
}

// SAFETY: one octet either way.
unsafe impl Octets for u8 {
    const CHARS: &'static Layout = &Layout::Scalar(Scalar::C8);
}

// SAFETY: an array of octets either way.
unsafe impl<T: Octets, const N: usize> Octets for [T; N] {
    const CHARS: &'static Layout = &Layout::Array { count: N, element: T::CHARS };
}

/// Stops the build when there are octets between two members.
#[track_caller]
pub const fn assert_no_gap(type_name: &str, member: &str, end_of_previous: usize, offset: usize) {
    if offset != end_of_previous {
        Message::new()
            .text("implicit padding in `")
            .text(type_name)
            .text("`: add `#[flat(pad)] _pad: [u8; ")
            .number(offset.wrapping_sub(end_of_previous))
            .text("]` in front of member `")
            .text(member)
            .text("`")
            .panic()
    }
}

/// Stops the build when there are octets behind the last member.
#[track_caller]
pub const fn assert_no_tail(type_name: &str, end_of_last: usize, size: usize) {
    if size != end_of_last {
        Message::new()
            .text("implicit padding in `")
            .text(type_name)
            .text("`: add `#[flat(pad)] _pad: [u8; ")
            .number(size.wrapping_sub(end_of_last))
            .text("]` as its last member")
            .panic()
    }
}

/// Stops the build when a member takes no octets.
#[track_caller]
pub const fn assert_not_empty<T>(type_name: &str, member: &str) {
    if size_of::<T>() == 0 {
        Message::new()
            .text("member `")
            .text(member)
            .text("` of `")
            .text(type_name)
            .text("` has no octets, and IDL no such type: leave it out")
            .panic()
    }
}

/// Stops the build when there is nothing to describe.
#[track_caller]
#[allow(clippy::panic, reason = "runs at compile time and is the build's error message")]
pub(super) const fn assert_has_elements(count: usize) {
    if count == 0 {
        panic!("an array without elements is no flat type");
    }
}

/// Stops the build when implementations disagree about a key.
#[track_caller]
pub const fn assert_key<T: FlatStruct>(type_name: &str, member: &str) {
    if T::KEY_IS_AMBIGUOUS {
        Message::new()
            .text("key member `")
            .text(member)
            .text("` of `")
            .text(type_name)
            .text("` is or contains an array of structs or enums, for which DDS implementations ")
            .text("compute different key hashes: use members of it as the key instead")
            .panic()
    }
}

/// Names the type in an error if it is not octets.
pub const fn assert_octets<T: Octets>() {}

/// Checks one member of a struct. Panics if `bytes` does not reach to its end.
#[inline]
pub fn check_member<T: FlatStruct>(bytes: &[u8], offset: usize) -> Result<(), BadValue> {
    if T::IN_PLACE {
        return Ok(());
    }
    let member = &bytes[offset..offset + size_of::<T>()];
    T::check_values(member).map_err(|bad| BadValue { offset: offset + bad.offset, ..bad })
}

/// Clears the padding inside one member of a struct.
#[inline]
pub fn zero_padding_in<T: FlatStruct>(bytes: &mut [u8], offset: usize) {
    if T::HAS_PADDING {
        T::zero_padding(&mut bytes[offset..offset + size_of::<T>()]);
    }
}

/// Clears a padding member.
#[inline]
pub fn zero_member<T: Octets>(bytes: &mut [u8], offset: usize) {
    bytes[offset..offset + size_of::<T>()].fill(0);
}

/// The number in the 4 octets of an enum, in the host's byte order.
#[inline]
#[must_use]
pub fn discriminant(bytes: &[u8]) -> u32 {
    let mut octets = [0; 4];
    octets.copy_from_slice(&bytes[..4]);
    u32::from_ne_bytes(octets)
}

/// A text put together at compile time, where there is no `format!`.
struct Message {
    text: [u8; Self::CAPACITY],
    len: usize,
}

impl Message {
    const CAPACITY: usize = 512;

    const fn new() -> Self {
        Self { text: [0; Self::CAPACITY], len: 0 }
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() && self.len < Self::CAPACITY {
            self.text[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    const fn number(self, number: usize) -> Self {
        const DIGITS: &str = "0123456789";
        let message = if number >= 10 { self.number(number / 10) } else { self };
        let digit = DIGITS.split_at(number % 10).1.split_at(1).0;
        message.text(digit)
    }

    const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.text.split_at(self.len).0) {
            Ok(text) => text,
            // A long name was cut within a character.
            Err(_) => "the message is too long",
        }
    }

    #[track_caller]
    #[allow(clippy::panic, reason = "runs at compile time and is the build's error message")]
    const fn panic(self) -> ! {
        panic!("{}", self.as_str())
    }
}

/// `TYPE_NAME` of an array: that of its element and the count, e.g. `double[3]`.
pub(super) struct ArrayName<T, const N: usize>(core::marker::PhantomData<T>);

impl<T: FlatStruct, const N: usize> ArrayName<T, N> {
    const MESSAGE: Message = Message::new().text(T::TYPE_NAME).text("[").number(N).text("]");
    pub(super) const NAME: &'static str = Self::MESSAGE.as_str();
}
