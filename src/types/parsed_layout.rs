//! Layout strings that somebody else made: parsed, checked, compared.
//!
//! A hash decides whether two layouts are the same; the strings are compared to tell a person what
//! the difference is. They come out of shared memory, so nothing about them is taken for granted.

use core::fmt::{self, Write as _};
use std::collections::BTreeSet;

use super::Scalar;

/// Longest layout string that is parsed, in octets.
pub const MAX_LAYOUT_STRING: usize = 64 * 1024;

/// Structures within structures that are followed.
const MAX_DEPTH: usize = 64;

/// Octets that are no canonical layout string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutStringError {
    /// Longer than [`MAX_LAYOUT_STRING`].
    #[error("a layout string of {found} octets; at most {MAX_LAYOUT_STRING} are read")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// More structures within each other than are followed.
    #[error("at octet {at} of the layout string: more than {MAX_DEPTH} structures within another")]
    TooDeep {
        /// Where the one too many begins.
        at: usize,
    },
    /// Not what the grammar has here.
    #[error("at octet {at} of the layout string: expected {expected}")]
    Malformed {
        /// Where it stops to be one.
        at: usize,
        /// What could have followed.
        expected: &'static str,
    },
    /// Well-formed, but no memory layout.
    #[error("the layout string before octet {at} describes no possible type: {reason}")]
    Impossible {
        /// Where that was seen.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A layout string that was found to be well-formed, canonical and possible.
///
/// `Display` gives the very string that was parsed.
///
/// ```
/// use dds_shm::types::ParsedLayout;
///
/// let ours = ParsedLayout::parse(b"shmlay1;le;s8,4{0:a:u32;4:b:u32}")?;
/// let theirs = ParsedLayout::parse(b"shmlay1;le;s8,4{0:a:u32;4:b:f32}")?;
/// assert_eq!(ours.first_difference(&theirs).unwrap(), "member `b`: u32 here, f32 there");
/// # Ok::<(), dds_shm::types::LayoutStringError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedLayout {
    big_endian: bool,
    root: Struct,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Struct {
    size: u64,
    align: u64,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    offset: u64,
    name: String,
    /// `None`: one value; arrays of arrays are flattened.
    count: Option<u64>,
    element: Element,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Scalar(Scalar),
    Struct(Struct),
}

impl ParsedLayout {
    /// Parses octets from anywhere. Time and memory are linear in their number (times the
    /// logarithm of the members of one structure).
    ///
    /// # Errors
    ///
    /// [`LayoutStringError`], with the octet at which the string stops to be one.
    pub fn parse(octets: &[u8]) -> Result<Self, LayoutStringError> {
        if octets.len() > MAX_LAYOUT_STRING {
            return Err(LayoutStringError::TooLong { found: octets.len() });
        }
        let mut parser = Parser { octets, at: 0 };
        parser.expect("shmlay1;", "`shmlay1;`, the version of the layout string")?;
        let big_endian = if parser.take("be;") {
            true
        } else {
            parser.expect("le;", "`le;` or `be;`")?;
            false
        };
        let root = parser.structure(1)?;
        if parser.at != octets.len() {
            return Err(parser.malformed("the end of the string"));
        }
        Ok(Self { big_endian, root })
    }

    /// Size of a sample, in octets.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.root.size
    }

    /// Alignment of a sample.
    #[must_use]
    pub const fn align(&self) -> u64 {
        self.root.align
    }

    /// Says, for people, where two layouts first differ: `self` is "here", `other` is "there".
    /// `None` if they are the same.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        if self.big_endian != other.big_endian {
            let name = |big| if big { "big-endian" } else { "little-endian" };
            let (here, there) = (name(self.big_endian), name(other.big_endian));
            return Some(format!("numbers are {here} here, {there} there"));
        }
        difference_in("", &self.root, &other.root)
    }
}

/// Differences in members come before those in size, which follow from them.
fn difference_in(path: &str, here: &Struct, there: &Struct) -> Option<String> {
    for (ours, theirs) in here.members.iter().zip(&there.members) {
        let member =
            if path.is_empty() { ours.name.clone() } else { format!("{path}.{}", ours.name) };
        if ours.name != theirs.name {
            return Some(format!("member `{member}` here is named `{}` there", theirs.name));
        }
        if let (Element::Struct(a), Element::Struct(b), true) =
            (&ours.element, &theirs.element, ours.count == theirs.count)
            && let Some(difference) = difference_in(&member, a, b)
        {
            return Some(difference);
        }
        if (ours.count, &ours.element) != (theirs.count, &theirs.element) {
            let (a, b) = (ours.brief(), theirs.brief());
            return Some(format!("member `{member}`: {a} here, {b} there"));
        }
        if ours.offset != theirs.offset {
            return Some(format!(
                "member `{member}`: at offset {} here, {} there",
                ours.offset, theirs.offset
            ));
        }
    }
    let of = |member: &Member| {
        if path.is_empty() { member.name.clone() } else { format!("{path}.{}", member.name) }
    };
    let (n, m) = (here.members.len(), there.members.len());
    if let Some(extra) = here.members.get(m) {
        return Some(format!("member `{}` exists here only", of(extra)));
    }
    if let Some(extra) = there.members.get(n) {
        return Some(format!("member `{}` exists there only", of(extra)));
    }
    if (here.size, here.align) != (there.size, there.align) {
        let what = if path.is_empty() { "a sample".to_owned() } else { format!("member `{path}`") };
        return Some(format!(
            "{what} has {} bytes aligned to {} here, {} aligned to {} there",
            here.size, here.align, there.size, there.align
        ));
    }
    None
}

impl Member {
    /// The type, without what is inside of a structure.
    fn brief(&self) -> String {
        let element = match &self.element {
            Element::Scalar(scalar) => scalar.code().to_owned(),
            Element::Struct(of) => format!("a struct of {} bytes", of.size),
        };
        match self.count {
            None => element,
            Some(count) => format!("[{count}*{element}]"),
        }
    }

    /// Octets it takes; `None` if that is beyond counting.
    fn size(&self) -> Option<u64> {
        let element = match &self.element {
            Element::Scalar(scalar) => scalar.size() as u64,
            Element::Struct(of) => of.size,
        };
        element.checked_mul(self.count.unwrap_or(1))
    }
}

struct Parser<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn structure(&mut self, depth: usize) -> Result<Struct, LayoutStringError> {
        if depth > MAX_DEPTH {
            return Err(LayoutStringError::TooDeep { at: self.at });
        }
        self.expect("s", "`s`, a structure")?;
        let size = self.number()?;
        self.expect(",", "`,`")?;
        let align = self.number()?;
        if !align.is_power_of_two() {
            return Err(self.impossible("an alignment is a power of two"));
        }
        if size == 0 || size % align != 0 {
            return Err(self.impossible("a size is a multiple of the alignment, and not 0"));
        }
        self.expect("{", "`{`")?;
        let mut structure = Struct { size, align, members: Vec::new() };
        let mut names = BTreeSet::new();
        let mut end_of_previous = 0;
        loop {
            let member = self.member(depth)?;
            if member.offset < end_of_previous {
                return Err(self.impossible("a member begins before the end of the previous one"));
            }
            let end = member.size().and_then(|size| member.offset.checked_add(size));
            end_of_previous = match end {
                Some(end) if end <= size => end,
                _ => return Err(self.impossible("a member ends behind its structure")),
            };
            if let Element::Struct(inner) = &member.element
                && (inner.align > align || member.offset % inner.align != 0)
            {
                return Err(
                    self.impossible("a structure does not lie at a multiple of its alignment")
                );
            }
            if !names.insert(member.name.clone()) {
                return Err(self.impossible("two members of one name"));
            }
            structure.members.push(member);
            if self.take("}") {
                return Ok(structure);
            }
            self.expect(";", "`;` or `}`")?;
        }
    }

    fn member(&mut self, depth: usize) -> Result<Member, LayoutStringError> {
        let offset = self.number()?;
        self.expect(":", "`:`")?;
        let name = self.name()?;
        self.expect(":", "`:`")?;
        if !self.take("[") {
            return Ok(Member { offset, name, count: None, element: self.element(depth)? });
        }
        let count = self.number()?;
        if count == 0 {
            return Err(self.impossible("an array without elements"));
        }
        self.expect("*", "`*`")?;
        // Arrays of arrays are flattened: there is no `[` here.
        let element = self.element(depth)?;
        self.expect("]", "`]`")?;
        Ok(Member { offset, name, count: Some(count), element })
    }

    fn element(&mut self, depth: usize) -> Result<Element, LayoutStringError> {
        for scalar in Scalar::ALL {
            // No code is the beginning of another.
            if self.take(scalar.code()) {
                return Ok(Element::Scalar(scalar));
            }
        }
        if self.rest().first() == Some(&b's') {
            return self.structure(depth + 1).map(Element::Struct);
        }
        Err(self.malformed("a type: b8, u8 to u64, i8 to i64, f32, f64, c8, e32 or a structure"))
    }

    fn name(&mut self) -> Result<String, LayoutStringError> {
        let is_letter = |octet: &u8| octet.is_ascii_alphabetic() || *octet == b'_';
        if !self.rest().first().is_some_and(is_letter) {
            return Err(self.malformed("an ASCII identifier"));
        }
        let is_part = |octet: &&u8| octet.is_ascii_alphanumeric() || **octet == b'_';
        let name: String = self.rest().iter().take_while(is_part).map(|&o| char::from(o)).collect();
        self.at += name.len();
        Ok(name)
    }

    /// Decimal digits, canonical: no leading zero, and within 63 bits.
    fn number(&mut self) -> Result<u64, LayoutStringError> {
        let digits = self.rest().iter().take_while(|octet| octet.is_ascii_digit()).count();
        let (text, _) = self.rest().split_at(digits);
        if text.is_empty() || (text[0] == b'0' && digits > 1) {
            return Err(self.malformed("a decimal number without leading zeros"));
        }
        let value = text.iter().try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        match value {
            Some(value) if value <= i64::MAX as u64 => {
                self.at += digits;
                Ok(value)
            }
            _ => Err(self.malformed("a number that fits into 63 bits")),
        }
    }

    fn rest(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &str, expected: &'static str) -> Result<(), LayoutStringError> {
        if self.take(text) { Ok(()) } else { Err(self.malformed(expected)) }
    }

    fn malformed(&self, expected: &'static str) -> LayoutStringError {
        LayoutStringError::Malformed { at: self.at, expected }
    }

    fn impossible(&self, reason: &'static str) -> LayoutStringError {
        LayoutStringError::Impossible { at: self.at, reason }
    }
}

impl fmt::Display for ParsedLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shmlay1;{};{}", if self.big_endian { "be" } else { "le" }, self.root)
    }
}

impl fmt::Display for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{},{}{{", self.size, self.align)?;
        for (index, Member { offset, name, count, element }) in self.members.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator}{offset}:{name}:")?;
            match count {
                None => write!(f, "{element}")?,
                Some(count) => write!(f, "[{count}*{element}]")?,
            }
        }
        f.write_char('}')
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(scalar.code()),
            Self::Struct(of) => write!(f, "{of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const CASES: u32 = if cfg!(miri) { 4 } else { 512 };

    fn parse(text: &str) -> Result<ParsedLayout, LayoutStringError> {
        ParsedLayout::parse(text.as_bytes())
    }

    fn parsed(text: &str) -> ParsedLayout {
        parse(text).expect("a layout string")
    }

    #[test]
    fn a_layout_string_is_parsed_and_displayed_as_it_was() {
        for text in [
            "shmlay1;le;s24,8{0:x:f64;8:y:f64;16:z:f64}",
            "shmlay1;le;s12,4{0:i:s8,4{0:a:u32;4:b:u32};8:n:u32}",
            "shmlay1;be;s12,4{0:i:s8,4{0:b:f32;4:a:i16;6:c:i16};8:n:u32}",
            "shmlay1;le;s64,64{0:a_1:[3*c8];8:_b:[2*s8,8{0:e:e32}];24:t:b8}",
            "shmlay1;le;s1,1{0:value:u8}",
            "shmlay1;le;s9223372036854775807,1{0:huge:[9223372036854775807*u8]}",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        let layout = parsed("shmlay1;le;s64,64{0:a:u8}");
        assert_eq!((layout.size(), layout.align()), (64, 64));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_refused_where_it_stands() {
        for (text, at) in [
            ("", 0),
            ("shmlay2;le;s1,1{0:a:u8}", 0),
            ("shmlay1;xe;s1,1{0:a:u8}", 8),
            ("shmlay1;le;u8", 11),
            ("shmlay1;le;s,1{0:a:u8}", 12),
            ("shmlay1;le;s01,1{0:a:u8}", 12),
            ("shmlay1;le;s9223372036854775808,1{0:a:u8}", 12),
            ("shmlay1;le;s99999999999999999999,1{0:a:u8}", 12),
            ("shmlay1;le;s1;1{0:a:u8}", 13),
            ("shmlay1;le;s1,1{}", 16),
            ("shmlay1;le;s1,1{0:a:u8;}", 23),
            ("shmlay1;le;s1,1{0:a:u8", 22),
            ("shmlay1;le;s1,1{0:a:u8} ", 23),
            ("shmlay1;le;s1,1{0:a:u8}\n", 23),
            ("shmlay1;le;s1,1{0:a:u8}\0", 23),
            ("shmlay1;le;s1,1{0::u8}", 18),
            ("shmlay1;le;s1,1{0:1a:u8}", 18),
            ("shmlay1;le;s1,1{0:a b:u8}", 19),
            ("shmlay1;le;s1,1{0:größe:u8}", 20),
            ("shmlay1;le;s1,1{0:a:u128}", 20),
            ("shmlay1;le;s1,1{0:a:u9}", 20),
            ("shmlay1;le;s1,1{+0:a:u8}", 16),
            ("shmlay1;le;s4,1{0:a:[2*[2*u8]]}", 23),
            ("shmlay1;le;s4,1{0:a:[4u8]}", 22),
            ("shmlay1;le;s4,1{0:a:[4*u8}", 25),
        ] {
            match parse(text) {
                Err(LayoutStringError::Malformed { at: found, .. }) => {
                    assert_eq!(found, at, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_no_type_can_look_like_is_refused() {
        for text in [
            "shmlay1;le;s0,1{0:a:u8}",
            "shmlay1;le;s8,3{0:a:u8}",
            "shmlay1;le;s8,0{0:a:u8}",
            "shmlay1;le;s6,4{0:a:u8}",
            "shmlay1;le;s4,4{0:a:u64}",
            "shmlay1;le;s4,4{1:a:u32}",
            "shmlay1;le;s4,4{0:a:u32;2:b:u16}",
            "shmlay1;le;s4,1{0:a:u8;0:b:u8}",
            "shmlay1;le;s4,1{0:a:u8;1:a:u8}",
            "shmlay1;le;s4,1{0:a:[0*u8]}",
            "shmlay1;le;s4,1{0:a:[9223372036854775807*u32]}",
            "shmlay1;le;s4,1{9223372036854775807:a:[9223372036854775807*u16]}",
            "shmlay1;le;s8,4{0:a:s8,8{0:b:u8}}",
            "shmlay1;le;s16,8{4:a:s8,8{0:b:u8}}",
            "shmlay1;le;s4,4{0:a:s4,4{0:b:u64}}",
        ] {
            let refused = matches!(parse(text), Err(LayoutStringError::Impossible { .. }));
            assert!(refused, "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |depth: usize| {
            let open: String = (1..depth).map(|_| "s1,1{0:a:").collect();
            format!("shmlay1;le;{open}s1,1{{0:a:u8}}{}", "}".repeat(depth - 1))
        };
        assert_eq!(parsed(&nested(MAX_DEPTH)).to_string(), nested(MAX_DEPTH));
        let too_deep = Err(LayoutStringError::TooDeep { at: 11 + 9 * MAX_DEPTH });
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), too_deep);

        let found = MAX_LAYOUT_STRING + 1;
        let too_long = Err(LayoutStringError::TooLong { found });
        assert_eq!(ParsedLayout::parse(&vec![b's'; found]), too_long);
    }

    #[test]
    fn the_first_difference_is_told_by_member() {
        let of = |here: &str, there: &str| {
            let whole = |body: &str| parsed(&format!("shmlay1;le;{body}"));
            whole(here).first_difference(&whole(there))
        };
        let point = "s16,8{0:x:f64;8:y:f64}";
        for (here, there, told) in [
            (point, "s16,8{0:y:f64;8:x:f64}", "member `x` here is named `y` there"),
            (point, "s16,8{0:x:f64;8:y:i64}", "member `y`: f64 here, i64 there"),
            (point, "s24,8{0:x:f64;16:y:f64}", "member `y`: at offset 8 here, 16 there"),
            (point, "s8,8{0:x:f64}", "member `y` exists here only"),
            ("s8,8{0:x:f64}", point, "member `y` exists there only"),
            (
                point,
                "s32,16{0:x:f64;8:y:f64}",
                "a sample has 16 bytes aligned to 8 here, 32 aligned to 16 there",
            ),
            (
                "s8,4{0:i:s8,4{0:a:u32;4:b:u32}}",
                "s8,4{0:i:s8,4{0:a:u32;4:b:f32}}",
                "member `i.b`: u32 here, f32 there",
            ),
            (
                "s8,4{0:i:s8,4{0:a:u32;4:b:u32}}",
                "s8,8{0:i:s8,8{0:a:u32;4:b:u32}}",
                "member `i` has 8 bytes aligned to 4 here, 8 aligned to 8 there",
            ),
            (
                "s8,4{0:i:[2*s4,4{0:a:u32}]}",
                "s4,4{0:i:s4,4{0:a:u32}}",
                "member `i`: [2*a struct of 4 bytes] here, a struct of 4 bytes there",
            ),
        ] {
            assert_eq!(of(here, there).as_deref(), Some(told));
            assert_eq!(of(here, here), None);
        }
        assert_eq!(
            parsed("shmlay1;le;s1,1{0:a:u8}")
                .first_difference(&parsed("shmlay1;be;s1,1{0:a:u8}"))
                .as_deref(),
            Some("numbers are little-endian here, big-endian there")
        );
    }

    /// Possible structures, some levels deep.
    fn structure() -> impl Strategy<Value = Struct> {
        let scalar = (0..Scalar::ALL.len()).prop_map(|index| Element::Scalar(Scalar::ALL[index]));
        let leaf = vec((0..9_u64, scalar, proptest::option::of(1..5_u64)), 1..5).prop_map(build);
        leaf.prop_recursive(4, 32, 4, |inner| {
            let scalar = Just(Element::Scalar(Scalar::E32));
            let element = prop_oneof![scalar, inner.prop_map(Element::Struct)];
            vec((0..9_u64, element, proptest::option::of(1..5_u64)), 1..5).prop_map(build)
        })
    }

    /// Lays members out one behind the other, each behind so many free octets.
    fn build(parts: Vec<(u64, Element, Option<u64>)>) -> Struct {
        let mut structure = Struct { size: 0, align: 1, members: Vec::new() };
        for (index, (gap, element, count)) in parts.into_iter().enumerate() {
            let align = match &element {
                Element::Scalar(scalar) => scalar.size() as u64,
                Element::Struct(of) => of.align,
            };
            let offset = (structure.size + gap).next_multiple_of(align);
            let member = Member { offset, name: format!("m{index}"), count, element };
            structure.size = offset + member.size().expect("small");
            structure.align = structure.align.max(align);
            structure.members.push(member);
        }
        structure.size = structure.size.next_multiple_of(structure.align);
        structure
    }

    fn config() -> ProptestConfig {
        let mut config = ProptestConfig { cases: CASES, ..ProptestConfig::default() };
        if cfg!(miri) {
            // Miri has no files to keep failures in.
            config.failure_persistence = None;
        }
        config
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn every_possible_layout_is_parsed_back(root in structure(), big_endian: bool) {
            let layout = ParsedLayout { big_endian, root };
            prop_assert_eq!(parse(&layout.to_string()), Ok(layout));
        }

        #[test]
        fn octets_that_are_parsed_are_canonical(
            root in structure(),
            edits in vec((any::<proptest::sample::Index>(), "[0-9a-z:;,*{}\\[\\]]"), 1..4),
        ) {
            let mut octets = ParsedLayout { big_endian: false, root }.to_string().into_bytes();
            for (index, octet) in edits {
                let at = index.index(octets.len());
                octets[at] = octet.as_bytes()[0];
            }
            if let Ok(layout) = ParsedLayout::parse(&octets) {
                prop_assert_eq!(layout.to_string().into_bytes(), octets);
            }
        }

        #[test]
        fn any_octets_are_survived(octets in vec(any::<u8>(), 0..300), head: bool) {
            let mut text = if head { b"shmlay1;le;s".to_vec() } else { Vec::new() };
            text.extend_from_slice(&octets);
            let _ = ParsedLayout::parse(&text);
        }

        #[test]
        fn layouts_differ_exactly_when_their_strings_do(a in structure(), b in structure()) {
            let [a, b] = [a, b].map(|root| ParsedLayout { big_endian: false, root });
            prop_assert_eq!(a.first_difference(&b).is_some(), a.to_string() != b.to_string());
            prop_assert_eq!(a.first_difference(&a), None);
        }
    }
}
