//! The layout of a type in memory, from its description in discovery's terms.
//!
//! Cyclone describes a type by a TypeMapping (XTypes 1.3, Annex B), serialised in little-endian XCDR2:
//! the type and all that it is made of, with names. What the C compiler makes of it follows from that,
//! and the canonical layout string from what the compiler makes of it. Only what is as in memory is
//! described: strings, sequences, unions and the like have no layout.

use std::collections::HashMap;

use dds_shm::{ParsedLayout, TypeHash};

/// Type kinds and identifiers (XTypes 1.3, 7.3.4.1 and Annex B).
mod kind {
    pub(super) const NONE: u8 = 0x00;
    pub(super) const ALIAS: u8 = 0x30;
    pub(super) const ENUM: u8 = 0x40;
    pub(super) const STRUCTURE: u8 = 0x51;
    pub(super) const STRING_SMALL: [u8; 2] = [0x70, 0x71];
    pub(super) const STRING_LARGE: [u8; 2] = [0x72, 0x73];
    pub(super) const ARRAY_SMALL: u8 = 0x90;
    pub(super) const ARRAY_LARGE: u8 = 0x91;
    pub(super) const COMPLETE: u8 = 0xf2;
    pub(super) const MINIMAL: u8 = 0xf1;
}

/// Member flags: the member is not in the structure itself.
const IS_EXTERNAL_OR_OPTIONAL: u16 = 1 << 2 | 1 << 3;
/// Types within types.
const DEEPEST: usize = 32;

/// The canonical layout string of a type, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeLayout {
    pub(crate) string: String,
    pub(crate) hash: TypeHash,
}

impl TypeLayout {
    /// Of the type of this name in a TypeMapping, which is `size` octets large in C. `None`: it has no
    /// layout, or none that can be told.
    pub(crate) fn of(type_mapping: &[u8], type_name: &str, size: u32) -> Option<Self> {
        let types = Reader::new(type_mapping).type_mapping()?;
        let is_it = |kind: &&Kind| matches!(kind, Kind::Struct { name, .. } if name == type_name);
        let shape = types.values().find(is_it)?.shape(&types, 0)?;
        if shape.size != u64::from(size) {
            return None;
        }
        let order = if cfg!(target_endian = "little") { "le" } else { "be" };
        let string = format!("shmlay1;{order};{}", shape.text);
        // By the rules of its own grammar, too.
        ParsedLayout::parse(string.as_bytes()).ok()?;
        let hash = TypeHash::of_layout(&string);
        Some(Self { string, hash })
    }
}

/// A type's hash in other types.
type Hash = [u8; 14];

/// A type that another one names.
#[derive(Clone, Debug)]
enum Named {
    /// Primitive, by its kind.
    Scalar(u8),
    Array {
        count: u64,
        element: Box<Named>,
    },
    Type(Hash),
    /// Without a layout.
    Other,
}

#[derive(Debug)]
struct Member {
    name: String,
    of: Named,
}

#[derive(Debug)]
enum Kind {
    Struct {
        name: String,
        members: Vec<Member>,
    },
    /// Of 32 bits.
    Enum,
    Alias(Named),
    Other,
}

/// What the compiler makes of a type.
#[derive(Debug)]
struct Shape {
    size: u64,
    align: u64,
    text: String,
}

impl Shape {
    fn scalar(text: &str, size: u64) -> Self {
        Self { size, align: size, text: text.to_owned() }
    }
}

impl Kind {
    fn shape(&self, types: &HashMap<Hash, Kind>, depth: usize) -> Option<Shape> {
        if depth > DEEPEST {
            return None;
        }
        match self {
            Self::Enum => Some(Shape::scalar("e32", 4)),
            Self::Alias(of) => of.shape(types, depth + 1),
            Self::Other => None,
            Self::Struct { members, .. } => {
                let (mut end, mut align, mut text) = (0_u64, 1, Vec::new());
                for member in members {
                    let shape = member.of.shape(types, depth + 1)?;
                    let offset = end.checked_next_multiple_of(shape.align)?;
                    text.push(format!("{offset}:{}:{}", member.name, shape.text));
                    end = offset.checked_add(shape.size)?;
                    align = align.max(shape.align);
                }
                let size = end.checked_next_multiple_of(align)?;
                let text = format!("s{size},{align}{{{}}}", text.join(";"));
                Some(Shape { size, align, text })
            }
        }
    }
}

impl Named {
    fn shape(&self, types: &HashMap<Hash, Kind>, depth: usize) -> Option<Shape> {
        if depth > DEEPEST {
            return None;
        }
        match self {
            Self::Other => None,
            Self::Type(hash) => types.get(hash)?.shape(types, depth + 1),
            Self::Scalar(kind) => Some(match kind {
                0x01 => Shape::scalar("b8", 1),
                0x02 | 0x0d => Shape::scalar("u8", 1),
                0x0c => Shape::scalar("i8", 1),
                0x10 => Shape::scalar("c8", 1),
                0x03 => Shape::scalar("i16", 2),
                0x06 => Shape::scalar("u16", 2),
                0x04 => Shape::scalar("i32", 4),
                0x07 => Shape::scalar("u32", 4),
                0x09 => Shape::scalar("f32", 4),
                0x05 => Shape::scalar("i64", 8),
                0x08 => Shape::scalar("u64", 8),
                0x0a => Shape::scalar("f64", 8),
                _ => return None,
            }),
            Self::Array { .. } => {
                // An array of arrays is one array.
                let (mut count, mut element) = (1_u64, self);
                for _ in 0..DEEPEST {
                    match element {
                        Self::Array { count: of, element: inner } => {
                            count = count.checked_mul(*of)?;
                            element = inner;
                        }
                        Self::Type(hash) => match types.get(hash) {
                            Some(Kind::Alias(of)) => element = of,
                            _ => break,
                        },
                        _ => break,
                    }
                }
                if matches!(element, Self::Array { .. }) {
                    return None;
                }
                let Shape { size, align, text } = element.shape(types, depth + 1)?;
                let size = size.checked_mul(count)?;
                Some(Shape { size, align, text: format!("[{count}*{text}]") })
            }
        }
    }
}

/// Reads XCDR2, little-endian, with alignment to 4 at most.
#[derive(Clone, Copy)]
struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.octets.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|octet| octet[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.align(2);
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        let octets = self.take(len)?.strip_suffix(&[0])?;
        String::from_utf8(octets.to_vec()).ok()
    }

    /// What is behind a DHEADER, and goes on behind that.
    fn delimited<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let len = self.u32()? as usize;
        let end = self.at.checked_add(len).filter(|end| *end <= self.octets.len())?;
        let mut inner = Self { octets: &self.octets[..end], at: self.at };
        let value = read(&mut inner);
        self.at = end;
        value
    }

    fn type_mapping(&mut self) -> Option<HashMap<Hash, Kind>> {
        // The minimal ones have no names.
        self.delimited(|_| Some(()))?;
        self.delimited(|pairs| {
            let count = pairs.u32()?;
            let mut types = HashMap::new();
            for _ in 0..count {
                let named = pairs.type_identifier(0)?;
                let kind = pairs.delimited(Self::type_object)?;
                if let Named::Type(hash) = named {
                    types.insert(hash, kind);
                }
            }
            Some(types)
        })
    }

    fn type_object(&mut self) -> Option<Kind> {
        if self.u8()? != kind::COMPLETE {
            return Some(Kind::Other);
        }
        Some(match self.u8()? {
            // What has no layout need not be understood.
            kind::STRUCTURE => self.structure().unwrap_or(Kind::Other),
            kind::ENUM => self.enumeration().unwrap_or(Kind::Other),
            kind::ALIAS => self.alias().unwrap_or(Kind::Other),
            _ => Kind::Other,
        })
    }

    fn structure(&mut self) -> Option<Kind> {
        self.u16()?;
        let name = self.delimited(|header| {
            // C puts what is inherited into a member of its own making.
            match header.type_identifier(0)? {
                Named::Scalar(kind::NONE) => header.type_name(),
                _ => None,
            }
        })?;
        let members = self.delimited(|members| {
            let count = members.u32()?;
            (0..count).map(|_| members.delimited(Self::member)).collect()
        })?;
        Some(Kind::Struct { name, members })
    }

    fn member(&mut self) -> Option<Member> {
        self.u32()?;
        let flags = self.u16()?;
        let of = self.type_identifier(0)?;
        let name = self.string()?;
        let of = if flags & IS_EXTERNAL_OR_OPTIONAL == 0 { of } else { Named::Other };
        Some(Member { name, of })
    }

    /// A CompleteTypeDetail without annotations that would have to be understood to be passed over.
    fn type_name(&mut self) -> Option<String> {
        if self.u8()? != 0 {
            self.delimited(|_| Some(()))?;
        }
        if self.u8()? != 0 {
            self.delimited(|_| Some(()))?;
        }
        self.string()
    }

    fn enumeration(&mut self) -> Option<Kind> {
        self.u16()?;
        let bits = self.delimited(Self::u16)?;
        (bits == 32).then_some(Kind::Enum)
    }

    fn alias(&mut self) -> Option<Kind> {
        self.u16()?;
        self.delimited(|_| Some(()))?;
        self.delimited(|body| {
            body.u16()?;
            body.type_identifier(0).map(Kind::Alias)
        })
    }

    fn type_identifier(&mut self, depth: usize) -> Option<Named> {
        if depth > DEEPEST {
            return None;
        }
        let kind = self.u8()?;
        match kind {
            kind::COMPLETE | kind::MINIMAL => {
                let hash = self.take(14)?.try_into().ok()?;
                Some(Named::Type(hash))
            }
            kind::ARRAY_SMALL | kind::ARRAY_LARGE => {
                self.u8()?;
                self.u16()?;
                let bounds = self.u32()?;
                let mut count = 1_u64;
                for _ in 0..bounds {
                    let bound =
                        if kind == kind::ARRAY_SMALL { u32::from(self.u8()?) } else { self.u32()? };
                    count = count.checked_mul(u64::from(bound))?;
                }
                let element = Box::new(self.type_identifier(depth + 1)?);
                Some(Named::Array { count, element })
            }
            kind if kind::STRING_SMALL.contains(&kind) => self.u8().map(|_| Named::Other),
            kind if kind::STRING_LARGE.contains(&kind) => self.u32().map(|_| Named::Other),
            kind if kind < kind::ALIAS => Some(Named::Scalar(kind)),
            // Sequences and maps: the structure has no layout, whatever follows.
            _ => None,
        }
    }
}
