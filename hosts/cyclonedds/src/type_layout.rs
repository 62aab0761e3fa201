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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// TypeMappings as Cyclone DDS 11.0.1 makes them of IDL.
    ///
    /// `module example { @final struct Pose { unsigned long long number; double x; double y; double z; }; };`
    const POSE: &str = "6b00000001000000f151da212d1d0380873cbb0df4d80f0053000000f15101000100000000000000 \
         43000000040000000b00000000000000010008b1bc248a000b0000000100000001000a9dd4e46100 \
         0b0000000200000001000a41529076000b0000000300000001000afbade9e3009800000001000000 \
         f22cef913d10fa8be40c26e6af8e340080000000f251010016000000000000000e0000006578616d \
         706c653a3a506f73650000005c00000004000000150000000000000001000800070000006e756d62 \
         6572000000000000100000000100000001000a000200000078000000100000000200000001000a00 \
         0200000079000000100000000300000001000a00020000007a0000002200000001000000f22cef91 \
         3d10fa8be40c26e6af8e34f151da212d1d0380873cbb0df4d80f";
    /// `module app { @final struct Fixed64 { unsigned long seq; unsigned long id; double values[6];
    /// octet bytes[8]; }; };`
    const FIXED: &str = "8200000001000000f17120cde39a81000bce7e6392f6d4006a000000f15101000100000000000000 \
         5a000000040000000b00000000000000010007e068c2de000b00000001000000010007b80bb77400 \
         1600000002000000010090f30100000001000000060af09cc7ee00001600000003000000010090f3 \
         010000000100000008024b3a62180000bc00000001000000f2443ecf86159779261ce144338fbd00 \
         a4000000f251010015000000000000000d0000006170703a3a466978656436340000000080000000 \
         04000000120000000000000001000700040000007365710000000000110000000100000001000700 \
         0300000069640000000000002100000002000000010090f30100000001000000060a000007000000 \
         76616c7565730000000000002000000003000000010090f301000000010000000802000006000000 \
         62797465730000002200000001000000f2443ecf86159779261ce144338fbdf17120cde39a81000b \
         ce7e6392f6d4";
    /// `module app { @final struct KeyedByTwo { unsigned long seq; @key short id; double value;
    /// @key octet id_again[5]; }; };`
    const KEYED: &str = "7600000001000000f17c82fdce26d333687c6770523594005e000000f15101000100000000000000 \
         4e000000040000000b00000000000000010007e068c2de000b00000001000000210003b80bb77400 \
         0b0000000200000001000a2063c160001600000003000000210090f3010000000100000005027c5b \
         ac950000af00000001000000f27a66624ff47f11cf1ada0017c4500097000000f251010018000000 \
         00000000100000006170703a3a4b65796564427954776f0073000000040000001200000000000000 \
         01000700040000007365710000000000110000000100000021000300030000006964000000000000 \
         140000000200000001000a000600000076616c75650000002300000003000000210090f301000000 \
         01000000050200000900000069645f616761696e000000002200000001000000f27a66624ff47f11 \
         cf1ada0017c450f17c82fdce26d333687c6770523594";
    /// `module app { @final struct Nested { … string, sequence, union … }; };`
    const NESTED: &str = "3002000004000000f125d87c403bedb9e9438020b9f7ab00c7000000f15101000100000000000000 \
         b7000000070000000b00000000000000010007e068c2de0019000000010000002100f179efcd1b3e \
         9fd70e01e1758b00d0736fb0930000000b00000002000000010007b80bb774001900000003000000 \
         0100f1abef4924f78677571c87767b3ea5ea97586b0000001e00000004000000010080f1010000f1 \
         abef4924f78677571c87767b3ea58cd283d8000019000000050000000100f1dc3fe341b7a3046f50 \
         73226f1f970162cefc0000000b0000000600000009000a7e7aac93f179efcd1b3e9fd70e01e1758b \
         00d000004e000000f140010002000000200000003e000000030000000e0000000600000000000000 \
         4000a2d9547b00000e000000060000000100000000009de0e5dd00000e0000000600000002000000 \
         00001b3e1ee9f1abef4924f78677571c87767b3ea500000059000000f15101000100000000000000 \
         490000000300000019000000000000000100f179efcd1b3e9fd70e01e1758b00d0296cc9a0000000 \
         0b00000001000000010001327a6c43001100000002000000010080f3010000700089759e12f1dc3f \
         e341b7a3046f5073226f1f976c000000f152010000000000110000001100f179efcd1b3e9fd70e01 \
         e1758b00d000000048000000030000001400000000000000010004000100000000000000b1bc248a \
         14000000010000000100700001000000010000001cb251ec100000000200000041000a0000000000 \
         2063c1600c03000004000000f2c45a42088d963a636a4166e6f3d0001c010000f251010014000000 \
         000000000c0000006170703a3a4e657374656400fc00000007000000120000000000000001000700 \
         04000000736571000000000029000000010000002100f219fce9f41e3c593ead570c8d5631000000 \
         0b0000006b65795f636f6c6f75720000000000001100000002000000010007000300000069640000 \
         0000000024000000030000000100f213207f41fa7991d775038155600a00000006000000696e6e65 \
         720000002700000004000000010080f2010000f213207f41fa7991d775038155600a000005000000 \
         6d616e790000000025000000050000000100f21620c496f8bf72cdf41ad2cf660300000007000000 \
         63686f696365000000000000140000000600000009000a00060000006d61796265000000f219fce9 \
         f41e3c593ead570c8d56310077000000f240010014000000200000000c0000006170703a3a436f6c \
         6f757200570000000300000016000000060000000000000040000000040000005245440000000000 \
         1800000006000000010000000000000006000000475245454e000000170000000600000002000000 \
         0000000005000000424c5545000000f213207f41fa7991d775038155600a000088000000f2510100 \
         13000000000000000b0000006170703a3a496e6e6572000068000000030000002500000000000000 \
         0100f219fce9f41e3c593ead570c8d563100000007000000636f6c6f757200000000000013000000 \
         010000000100010005000000666c6167000000001c00000002000000010080f30100007000000000 \
         06000000776f726473000000f21620c496f8bf72cdf41ad2cf6603009c000000f252010014000000 \
         000000000c0000006170703a3a43686f69636500130000001100f219fce9f41e3c593ead570c8d56 \
         3100000064000000030000001d00000000000000010004000100000000000000070000006e756d62 \
         65720000000000001b00000001000000010070000100000001000000050000007465787400000000 \
         180000000200000041000a00000000000600000076616c75650000007c00000004000000f2c45a42 \
         088d963a636a4166e6f3d0f125d87c403bedb9e9438020b9f7abf219fce9f41e3c593ead570c8d56 \
         31f179efcd1b3e9fd70e01e1758b00d0f213207f41fa7991d775038155600af1abef4924f7867757 \
         1c87767b3ea5f21620c496f8bf72cdf41ad2cf6603f1dc3fe341b7a3046f5073226f1f97";

    fn octets(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
        let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|pair| octet(pair).unwrap()).collect()
    }

    fn string(mapping: &str, name: &str, size: u32) -> Option<String> {
        TypeLayout::of(&octets(mapping), name, size).map(|layout| layout.string)
    }

    #[test]
    fn a_type_of_cyclone_has_the_layout_of_its_c_structure() {
        assert_eq!(
            string(POSE, "example::Pose", 32).unwrap(),
            "shmlay1;le;s32,8{0:number:u64;8:x:f64;16:y:f64;24:z:f64}"
        );
        assert_eq!(
            string(FIXED, "app::Fixed64", 64).unwrap(),
            "shmlay1;le;s64,8{0:seq:u32;4:id:u32;8:values:[6*f64];56:bytes:[8*u8]}"
        );
        assert_eq!(
            string(KEYED, "app::KeyedByTwo", 24).unwrap(),
            "shmlay1;le;s24,8{0:seq:u32;4:id:i16;8:value:f64;16:id_again:[5*u8]}"
        );
    }

    #[test]
    fn what_has_no_layout_or_another_one_is_not_described() {
        assert_eq!(string(NESTED, "app::Nested", 136), None);
        assert_eq!(string(POSE, "example::Pose", 40), None);
        assert_eq!(string(POSE, "example::Other", 32), None);
    }

    #[test]
    fn a_damaged_description_is_none() {
        let mapping = octets(FIXED);
        for len in 0..mapping.len() {
            let _ = TypeLayout::of(&mapping[..len], "app::Fixed64", 64);
        }
        for bit in 0..mapping.len() * 8 {
            let mut damaged = mapping.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = TypeLayout::of(&damaged, "app::Fixed64", 64);
        }
    }
}
