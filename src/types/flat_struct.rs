//! The marker of types that can lie in shared memory, and the only ways to get at them as bytes.

use core::{fmt, mem::MaybeUninit, ptr, slice};

use super::{KeyHolder, Layout, TypeHash, derive_support::BadValue};

/// A type whose bytes are its value: a fixed size, no pointers, no padding.
///
/// Derive it, on a `#[repr(C)]` struct of members that are themselves flat, or on an enum without
/// fields and with `#[repr(u32)]` or `#[repr(i32)]`:
///
/// ```
/// use dds_shm::FlatStruct;
///
/// #[derive(Clone, Copy, Debug, FlatStruct)]
/// #[repr(C)]
/// #[flat(name = "geometry::Pose")]
/// struct Pose {
///     #[flat(key)]
///     robot: u32,
///     valid: bool,
///     #[flat(pad)]
///     _pad: [u8; 3],
///     position: [f64; 3],
/// }
///
/// assert_eq!(Pose::TYPE_NAME, "geometry::Pose");
/// # #[cfg(all(target_endian = "little", target_pointer_width = "64"))]
/// assert_eq!(
///     Pose::layout_string(),
///     "shmlay1;le;s32,8{0:robot:u32;4:valid:b8;8:position:[3*f64]}"
/// );
/// // A bool has bit patterns that are no bool: Pose is copied and checked, never read in place.
/// assert!(!Pose::IN_PLACE);
/// ```
///
/// | attribute | where | meaning |
/// |---|---|---|
/// | `#[flat(name = "module::Type")]` | type | the DDS type name; without it the Rust name |
/// | `#[flat(key)]` | member | part of the topic's key |
/// | `#[flat(pad)]` | `u8`, `[u8; N]` | explicit padding: no member for DDS, zeroed before it is published, never looked at |
/// | `#[flat(char)]` | `u8`, `[u8; N]` | IDL `char`, not `octet` |
/// | `#[flat(rename = "…")]` | member | its IDL name, where that is not the Rust name |
///
/// Members may be `u8` to `u64`, `i8` to `i64`, `f32`, `f64`, `bool`, arrays of these, and types
/// that derive `FlatStruct`. Anything else does not compile, also by another name:
///
/// ```compile_fail,E0277
/// # use dds_shm::FlatStruct;
/// type Count = usize;
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Counter {
///     count: Count,
/// }
/// ```
///
/// # Safety
///
/// Who implements it by hand promises, for a value of the type at any address aligned for it:
///
/// * its layout is fixed by the C ABI (`repr(C)`, `repr(u32)`, …) and its size is not 0;
/// * every one of its octets is initialized in every value: no padding octets, no unions;
/// * it holds nothing that means something in one process only (pointers, references, handles,
///   `usize`) and no interior mutability;
/// * [`LAYOUT`](Self::LAYOUT) describes it truly, and its size is `size_of::<Self>()`;
/// * [`IN_PLACE`](Self::IN_PLACE) is true only if every bit pattern is a value of the type, and
///   `check_values` returns `Ok` only for bytes that are one;
/// * the provided functions are not overridden.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in shared memory",
    label = "is not a flat type",
    note = "flat are u8 to u64, i8 to i64, f32, f64, bool, arrays of these, and types with #[derive(FlatStruct)]",
    note = "replace pointers, usize, char and String by fixed-size members, e.g. u64, u32 or `#[flat(char)] [u8; N]`"
)]
pub unsafe trait FlatStruct: Copy + Send + Sync + 'static {
    /// Name of the type for DDS, e.g. `geometry::Pose`. Not part of the layout string.
    const TYPE_NAME: &'static str;

    /// How the type lies in memory.
    const LAYOUT: &'static Layout;

    /// Every bit pattern is a value of the type (no `bool`, no enum inside), so that a reference
    /// into shared memory can be given out without looking at the bytes first.
    const IN_PLACE: bool;

    /// There are `#[flat(pad)]` members inside, for [`zero_padding`](Self::zero_padding) to clear.
    const HAS_PADDING: bool;

    /// There are `#[flat(key)]` members: the topic is keyed.
    const HAS_KEY: bool;

    /// The key hash would depend on a question that DDS implementations answer differently.
    #[doc(hidden)]
    const KEY_IS_AMBIGUOUS: bool;

    /// Looks for the first member whose octets are no value of its type.
    ///
    /// `bytes` has the size of the type; anything else may panic.
    #[doc(hidden)]
    fn check_values(bytes: &[u8]) -> Result<(), BadValue>;

    /// Sets the octets of all `#[flat(pad)]` members to 0.
    ///
    /// Publishers do this to every sample before they commit it: what happens to be in a padding
    /// member is neither shown to other processes nor part of the value. Costs nothing where
    /// [`HAS_PADDING`](Self::HAS_PADDING) is false.
    ///
    /// # Panics
    ///
    /// If `bytes` ends before a padding member does.
    fn zero_padding(bytes: &mut [u8]);

    /// Writes the members that are the key when a value of this type is (part of) a key: its
    /// `#[flat(key)]` members, or all of them if there are none.
    #[doc(hidden)]
    fn write_key(&self, key: &mut KeyHolder);

    /// The canonical layout string. Rendered anew at every call; needed once per writer or reader.
    #[must_use]
    fn layout_string() -> String {
        Self::LAYOUT.to_layout_string()
    }

    /// Hash of the layout string. Computed anew at every call, like the string.
    #[must_use]
    fn type_hash() -> TypeHash {
        TypeHash::of_layout(&Self::layout_string())
    }

    /// Checks that bytes are a value of the type, without making one.
    ///
    /// Whether the bytes stay what they are afterwards is the caller's business: bytes in shared
    /// memory that another process can still write are to be copied first.
    ///
    /// # Errors
    ///
    /// [`FlatError::WrongSize`], or [`FlatError::InvalidValue`] for the first `bool` or enum that
    /// holds none of its values.
    fn validate(bytes: &[u8]) -> Result<(), FlatError> {
        if bytes.len() != size_of::<Self>() {
            return Err(FlatError::WrongSize {
                type_name: Self::TYPE_NAME,
                expected: size_of::<Self>(),
                found: bytes.len(),
            });
        }
        if Self::IN_PLACE {
            return Ok(());
        }
        Self::check_values(bytes).map_err(|bad| FlatError::InvalidValue {
            type_name: Self::TYPE_NAME,
            member: Self::LAYOUT.path_at(bad.offset),
            offset: bad.offset,
            found: bad.found,
            kind: bad.kind,
        })
    }

    /// Copies a value out of bytes, and checks the copy before it becomes one. The bytes need no
    /// alignment.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    fn read_from(bytes: &[u8]) -> Result<Self, FlatError> {
        let mut value = MaybeUninit::<Self>::uninit();
        copy_checked(bytes, &mut value)?;
        // SAFETY: copy_checked returned Ok, so all octets are written and are a value of Self.
        Ok(unsafe { value.assume_init() })
    }

    /// As [`read_from`](Self::read_from), onto the heap: for types too large for the stack.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    fn read_boxed(bytes: &[u8]) -> Result<Box<Self>, FlatError> {
        let mut value = Box::<Self>::new_uninit();
        copy_checked(bytes, &mut value)?;
        // SAFETY: copy_checked returned Ok, so all octets are written and are a value of Self.
        Ok(unsafe { value.assume_init() })
    }

    /// The value in place, if every bit pattern is one ([`IN_PLACE`](Self::IN_PLACE)), and the
    /// bytes have the size and alignment of the type; else `None`.
    #[must_use]
    fn ref_from(bytes: &[u8]) -> Option<&Self> {
        if !fits_in_place::<Self>(bytes) {
            return None;
        }
        // SAFETY: size and alignment were checked; IN_PLACE makes any octets a value; the borrow
        // of `bytes` goes over to the result.
        Some(unsafe { &*bytes.as_ptr().cast::<Self>() })
    }

    /// As [`ref_from`](Self::ref_from), to fill in place.
    #[must_use]
    fn mut_from(bytes: &mut [u8]) -> Option<&mut Self> {
        if !fits_in_place::<Self>(bytes) {
            return None;
        }
        // SAFETY: as in ref_from; and no value written through the result has uninitialized
        // octets (contract of the trait), so that `bytes` stay readable.
        Some(unsafe { &mut *bytes.as_mut_ptr().cast::<Self>() })
    }

    /// The octets of the value, in the host's byte order.
    #[must_use]
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: no padding, no interior mutability (contract of the trait): size_of::<Self>()
        // initialized octets that nobody changes while `self` is borrowed.
        unsafe { slice::from_raw_parts(ptr::from_ref(self).cast::<u8>(), size_of::<Self>()) }
    }

    /// The key hash of the instance that this sample belongs to (DDSI-RTPS 9.6.3.8); 16 octets 0
    /// for a type without key.
    #[must_use]
    fn key_hash(&self) -> [u8; 16] {
        let mut key = KeyHolder::new();
        if Self::HAS_KEY {
            self.write_key(&mut key);
        }
        key.finish()
    }
}

/// Copies `bytes` to `value` and checks the copy; after `Ok`, `value` is initialized.
fn copy_checked<T: FlatStruct>(bytes: &[u8], value: &mut MaybeUninit<T>) -> Result<(), FlatError> {
    let size = size_of::<T>();
    let target = value.as_mut_ptr().cast::<u8>();
    if bytes.len() != size {
        return T::validate(bytes);
    }
    // SAFETY: both are `size` octets; `value` is borrowed mutably, so they do not overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, size) };
    // SAFETY: the `size` octets at `target` have just been written.
    T::validate(unsafe { slice::from_raw_parts(target, size) })
}

fn fits_in_place<T: FlatStruct>(bytes: &[u8]) -> bool {
    T::IN_PLACE && bytes.len() == size_of::<T>() && bytes.as_ptr().cast::<T>().is_aligned()
}

/// Bytes are not a value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlatError {
    /// Not the size of the type.
    #[error(
        "a sample of {type_name} has {expected} bytes, {found} were found: \
         the writer uses another type of that name"
    )]
    WrongSize {
        /// The type that was to be read.
        type_name: &'static str,
        /// Its size.
        expected: usize,
        /// What there was.
        found: usize,
    },
    /// A member holds octets that are no value of its type.
    #[error(
        "member `{member}` of {type_name} (offset {offset}) holds {found}, which is no {kind}: \
         the sample was damaged, or its writer uses other enumerators"
    )]
    InvalidValue {
        /// The type that was to be read.
        type_name: &'static str,
        /// Path of the member, e.g. `poses[2].valid`.
        member: String,
        /// Its offset in the sample.
        offset: usize,
        /// The number that it holds.
        found: i64,
        /// What it should have been.
        kind: ValueKind,
    },
}

/// Kinds of values that are not valid in every bit pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// 0 or 1.
    Bool,
    /// An enumerator of the named type.
    Enumerator(&'static str),
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("boolean (0 or 1)"),
            Self::Enumerator(type_name) => write!(f, "enumerator of {type_name}"),
        }
    }
}
