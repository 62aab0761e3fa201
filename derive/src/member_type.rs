//! Member types that cannot be shared, told from their tokens.
//!
//! Only a better message is at stake: what gets through here (an alias, a type of that name from
//! elsewhere) still has to implement `FlatStruct` for the code to compile.

use syn::{Error, PathArguments, Type};

/// Refuses a type that nobody could make flat, with what to use instead.
pub(crate) fn check(member_type: &Type) -> syn::Result<()> {
    let refuse =
        |reason: &str| Err(Error::new_spanned(member_type, format!("FlatStruct: {reason}")));
    match member_type {
        Type::Array(array) => check(&array.elem),
        Type::Group(group) => check(&group.elem),
        Type::Paren(paren) => check(&paren.elem),
        Type::Reference(_) | Type::Ptr(_) => refuse(
            "an address means nothing in another process; hold the value itself, \
             or an index (u32, u64)",
        ),
        Type::BareFn(_) => refuse("a function's address means nothing in another process"),
        Type::Tuple(_) => refuse(
            "a tuple has no fixed layout and no member names; use a struct with \
             #[repr(C)] and #[derive(FlatStruct)]",
        ),
        Type::Slice(_) => refuse("a slice has no fixed size; use an array `[T; N]`"),
        Type::TraitObject(_) | Type::ImplTrait(_) | Type::Never(_) | Type::Infer(_) => {
            refuse("this type has no fixed layout")
        }
        Type::Path(path) if path.qself.is_none() => {
            let Some(last) = path.path.segments.last() else { return Ok(()) };
            let has_arguments = !matches!(last.arguments, PathArguments::None);
            match (last.ident.to_string().as_str(), has_arguments) {
                ("usize", false) => refuse("usize differs between processes; use u32 or u64"),
                ("isize", false) => refuse("isize differs between processes; use i32 or i64"),
                ("char", false) => refuse(
                    "char is Rust's own; use `#[flat(char)] u8` for an IDL char, \
                     u32 for a code point",
                ),
                ("u128" | "i128", false) => {
                    refuse("IDL has no 128-bit integers; use `[u64; 2]` or `[u8; 16]`")
                }
                ("str" | "String" | "CString" | "CStr" | "PathBuf" | "OsString", false) => refuse(
                    "text of any length lies elsewhere in memory; \
                     use `#[flat(char)] [u8; N]`",
                ),
                ("Vec" | "VecDeque" | "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet", true) => {
                    refuse(
                        "a collection lies elsewhere in memory; \
                         use an array `[T; N]` and a member for the length",
                    )
                }
                ("Box" | "Rc" | "Arc" | "Cow" | "NonNull" | "AtomicPtr", true) => {
                    refuse("a pointer means nothing in another process; hold the value itself")
                }
                ("Option", true) => refuse(
                    "Option has no fixed layout; use the value and a `bool` member beside it",
                ),
                ("Cell" | "RefCell" | "UnsafeCell" | "Mutex" | "RwLock", true) => {
                    refuse("a published sample does not change; hold the value itself")
                }
                _ => Ok(()),
            }
        }
        // Macros and what syn may come to know: the trait bound decides.
        _ => Ok(()),
    }
}
