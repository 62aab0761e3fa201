//! Description of a type's memory layout, and the canonical string rendered from it.
//!
//! ```text
//! layout = "shmlay1;" ("le"|"be") ";" struct
//! struct = "s" size "," align "{" member (";" member)* "}"
//! member = offset ":" name ":" type
//! type   = "b8"|"u8".."u64"|"i8".."i64"|"f32"|"f64"|"c8"|"e32" | "[" count "*" type "]" | struct
//! ```

use core::fmt::{self, Write as _};

/// A member whose value is one number, character or truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scalar {
    /// `bool`, one octet, 0 or 1.
    B8,
    /// `u8`.
    U8,
    /// `u16`.
    U16,
    /// `u32`.
    U32,
    /// `u64`.
    U64,
    /// `i8`.
    I8,
    /// `i16`.
    I16,
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// IDL `char`: an octet that is text.
    C8,
    /// An enumeration in 32 bits; its enumerators are not part of the layout.
    E32,
}

impl Scalar {
    /// All of them, for parsing.
    pub(super) const ALL: [Self; 13] = [
        Self::B8,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
        Self::C8,
        Self::E32,
    ];

    /// The word that stands for it in a layout string.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::B8 => "b8",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::C8 => "c8",
            Self::E32 => "e32",
        }
    }

    /// Octets it takes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::B8 | Self::U8 | Self::I8 | Self::C8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 | Self::E32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// The memory layout of a [`FlatStruct`](super::FlatStruct): static data, made by the derive from
/// `offset_of!`, `size_of` and `align_of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One value.
    Scalar(Scalar),
    /// `count` elements without gaps. An array of arrays is nested here and flattened, row-major,
    /// in the string.
    Array {
        /// Elements; never 0.
        count: usize,
        /// What each of them is.
        element: &'static Layout,
    },
    /// A structure.
    Struct {
        /// Octets, padding at the end included.
        size: usize,
        /// Alignment in memory.
        align: usize,
        /// In offset order, without explicit padding; never empty.
        members: &'static [Member],
    },
}

/// One named member of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Octets from the start of the structure that it is a member of.
    pub offset: usize,
    /// Its IDL name: an ASCII identifier.
    pub name: &'static str,
    /// Its type.
    pub layout: &'static Layout,
}

impl Layout {
    /// Octets a value takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        match self {
            Self::Scalar(scalar) => scalar.size(),
            Self::Array { count, element } => *count * element.size(),
            Self::Struct { size, .. } => *size,
        }
    }

    /// The innermost element of an array (of arrays), and how many there are in all; any other
    /// layout is one of itself.
    #[must_use]
    pub const fn flattened(&self) -> (usize, &Self) {
        let mut count = 1;
        let mut layout = self;
        while let Self::Array { count: n, element } = layout {
            count *= *n;
            layout = element;
        }
        (count, layout)
    }

    /// The canonical layout string of a type with this layout.
    ///
    /// What is not a structure is described as the structure that has it as its only member, named
    /// `value`: the grammar knows structures only, and in memory the two are the same.
    #[must_use]
    pub fn to_layout_string(&self) -> String {
        let endianness = if cfg!(target_endian = "big") { "be" } else { "le" };
        match self {
            Self::Struct { .. } => format!("shmlay1;{endianness};{self}"),
            Self::Scalar(_) | Self::Array { .. } => {
                let (size, align) = (self.size(), self.align());
                format!("shmlay1;{endianness};s{size},{align}{{0:value:{self}}}")
            }
        }
    }

    /// Name of the member at an offset, from the outermost structure inwards, e.g.
    /// `poses[2].flags.valid`; as far as it is known.
    pub(super) fn path_at(&self, offset: usize) -> String {
        let mut path = String::new();
        let mut layout = self;
        let mut offset = offset;
        loop {
            match layout {
                Self::Scalar(_) => return path,
                Self::Array { count, element } => {
                    let index = offset.checked_div(element.size()).unwrap_or(0);
                    if index >= *count {
                        return path;
                    }
                    offset -= index * element.size();
                    // A String takes everything; there is no error to tell of.
                    let _ = write!(path, "[{index}]");
                    layout = element;
                }
                Self::Struct { members, .. } => {
                    let covers =
                        |m: &&Member| m.offset <= offset && offset - m.offset < m.layout.size();
                    let Some(member) = members.iter().find(covers) else { return path };
                    offset -= member.offset;
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(member.name);
                    layout = member.layout;
                }
            }
        }
    }

    const fn align(&self) -> usize {
        match self.flattened().1 {
            Self::Struct { align, .. } => *align,
            Self::Scalar(scalar) => match scalar {
                Scalar::B8 | Scalar::U8 | Scalar::I8 | Scalar::C8 => 1,
                Scalar::U16 => align_of::<u16>(),
                Scalar::I16 => align_of::<i16>(),
                Scalar::U32 | Scalar::E32 => align_of::<u32>(),
                Scalar::I32 => align_of::<i32>(),
                Scalar::F32 => align_of::<f32>(),
                Scalar::U64 => align_of::<u64>(),
                Scalar::I64 => align_of::<i64>(),
                Scalar::F64 => align_of::<f64>(),
            },
            // `flattened` ends at what is no array.
            Self::Array { .. } => 1,
        }
    }
}

/// The `type` of the grammar, without the head of a layout string.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(scalar.code()),
            Self::Array { .. } => {
                let (count, element) = self.flattened();
                write!(f, "[{count}*{element}]")
            }
            Self::Struct { size, align, members } => {
                write!(f, "s{size},{align}{{")?;
                for (index, Member { offset, name, layout }) in members.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ";" };
                    write!(f, "{separator}{offset}:{name}:{layout}")?;
                }
                f.write_char('}')
            }
        }
    }
}
