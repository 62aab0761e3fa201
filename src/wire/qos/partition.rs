//! PARTITION: names, patterns, and when two lists have something in common.

/// PARTITION: the names or patterns of the partitions that an endpoint is in. DDS 1.4, 2.2.3.13.
///
/// An empty list is the same as a list of the one empty name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Partition(pub Vec<String>);

impl Partition {
    /// Whether a writer and a reader with these partitions see each other: a name of one equals a
    /// name of the other or fits a pattern of the other. Two patterns never match each other.
    ///
    /// Patterns are those of POSIX `fnmatch` (`*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a
    /// character that is to stand for itself). Named character classes are not known.
    pub fn matches(&self, other: &Self) -> bool {
        let names = |partition: &'_ Self| -> Vec<String> {
            if partition.0.is_empty() { vec![String::new()] } else { partition.0.clone() }
        };
        let (ours, theirs) = (names(self), names(other));
        ours.iter().any(|our| theirs.iter().any(|their| one_matches(our, their)))
    }
}

fn one_matches(a: &str, b: &str) -> bool {
    match (is_pattern(a), is_pattern(b)) {
        (false, false) => a == b,
        (true, false) => fits(a, b),
        (false, true) => fits(b, a),
        (true, true) => false,
    }
}

/// Whether `name` has a character in it that makes it a pattern. A `[` that is never closed, and
/// what stands behind a `\`, are plain characters.
fn is_pattern(name: &str) -> bool {
    let characters: Vec<char> = name.chars().collect();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        match character {
            '*' | '?' => return true,
            '[' if Set::parse(&characters[at..]).is_some() => return true,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    false
}

/// A bracket expression at the beginning of a pattern.
struct Set<'a> {
    inverted: bool,
    members: &'a [char],
    /// Characters of the pattern that the expression takes, brackets included.
    length: usize,
}

impl<'a> Set<'a> {
    /// `None` if the bracket is never closed; then it stands for itself.
    fn parse(pattern: &'a [char]) -> Option<Self> {
        let inverted = matches!(pattern.get(1), Some('!' | '^'));
        let start = 1 + usize::from(inverted);
        // A `]` in the first place is a member.
        let members = pattern.get(start + 1..)?.iter().position(|&c| c == ']')? + 1;
        Some(Self {
            inverted,
            members: &pattern[start..start + members],
            length: start + members + 1,
        })
    }

    fn contains(&self, character: char) -> bool {
        let mut members = self.members;
        let mut found = false;
        while !found {
            (found, members) = match members {
                [] => break,
                [low, '-', high, rest @ ..] => ((*low..=*high).contains(&character), rest),
                [one, rest @ ..] => (*one == character, rest),
            };
        }
        found != self.inverted
    }
}

/// Whether `name` fits `pattern`. Goes back to the last `*` only, so that the time is bounded by
/// the product of the lengths, whatever a stranger sends.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            last_star = Some((p, n));
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        let step = name
            .get(n)
            .and_then(|&character| match_one(pattern.get(p..).unwrap_or(&[]), character));
        match (step, last_star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((behind_star, from))) if from < name.len() => {
                p = behind_star;
                n = from + 1;
                last_star = Some((behind_star, n));
            }
            (None, _) => return false,
        }
    }
}

/// How many characters of `pattern` stand for this one character; `None` if it does not fit.
fn match_one(pattern: &[char], character: char) -> Option<usize> {
    match pattern {
        [] => None,
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == character).then_some(2),
        ['[', ..] => match Set::parse(pattern) {
            Some(set) => set.contains(character).then_some(set.length),
            None => (character == '[').then_some(1),
        },
        [plain, ..] => (*plain == character).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(a: &[&str], b: &[&str]) -> bool {
        let list = |names: &[&str]| Partition(names.iter().map(|&name| name.to_owned()).collect());
        let found = list(a).matches(&list(b));
        assert_eq!(found, list(b).matches(&list(a)), "{a:?} {b:?}");
        found
    }

    #[test]
    fn no_partition_is_the_empty_name() {
        assert!(matches(&[], &[]));
        assert!(matches(&[], &[""]));
        assert!(matches(&[], &["*"]));
        assert!(!matches(&[], &["a"]));
        assert!(!matches(&[], &["?"]));
    }

    #[test]
    fn one_name_in_common_is_enough() {
        assert!(matches(&["a", "b"], &["c", "b"]));
        assert!(!matches(&["a", "b"], &["c", "d"]));
    }

    #[test]
    fn patterns_match_names_and_not_each_other() {
        assert!(matches(&["robot*"], &["robot1"]));
        assert!(matches(&["r?b[a-o]t[!2-9]"], &["robot1"]));
        assert!(!matches(&["r?b[a-o]t[!2-9]"], &["robot3"]));
        assert!(matches(&["*a*b*"], &["xxaxxbxx"]));
        assert!(!matches(&["*a*b"], &["xxaxxbxx"]));
        assert!(!matches(&["robot*"], &["robot*"]));
        assert!(!matches(&["robot*"], &["rob*"]));
    }

    #[test]
    fn what_only_looks_like_a_pattern_is_a_name() {
        assert!(matches(&["a[b"], &["a[b"]));
        assert!(matches(&["a[b?"], &["a[bc"]));
        assert!(matches(&[r"a\[[b]"], &["a[b"]));
        assert!(matches(&["[]x]"], &["]"]));
        assert!(!matches(&["[]x]"], &["y"]));
    }

    #[test]
    fn a_pattern_made_to_hurt_is_fast() {
        let pattern = "*a".repeat(500);
        let name = "a".repeat(4000) + "b";
        assert!(!matches(&[&pattern], &[&name]));
    }

    proptest! {
        #[test]
        fn no_pattern_panics_or_runs_for_ever(a in r"[ab*?\[\]!\\-]{0,12}", b in "[ab-]{0,12}") {
            matches(&[&a], &[&b]);
        }
    }
}
