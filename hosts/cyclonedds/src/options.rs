//! What a user says in `config="…"`.
//!
//! Cyclone passes `A=B;C=D;`, a NUL, `INSTANCE_NAME=…;`, a NUL, and one more: strings that end with an
//! empty one, of which the first may be empty too. A backslash takes the meaning of what follows it.

use std::path::PathBuf;
use std::str::FromStr;

use dds_shm::wire::qos::Partition;
use tracing::level_filters::LevelFilter;

/// Octets of a slot for serialised samples, whose sizes are not known.
pub(crate) const SLOT_SIZE: u32 = 4096;

/// The options of one instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) instance_name: String,
    /// Cyclone gives this to the instance instead of asking for its node id.
    pub(crate) locator: Option<[u8; 16]>,
    /// Slots of each writer, instead of what its QoS asks for.
    pub(crate) slots: Option<u32>,
    pub(crate) slot_size: u32,
    /// RELIABLE with KEEP_LAST waits for slow readers.
    pub(crate) block_on_keep_last: bool,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) log_level: LevelFilter,
    /// Only these partitions, or all but those.
    pub(crate) include: Option<Partition>,
    pub(crate) exclude: Option<Partition>,
    /// A receive thread for each reader.
    pub(crate) thread_per_reader: bool,
    /// What was not understood; to be told when there is a log.
    pub(crate) complaints: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            instance_name: String::new(),
            locator: None,
            slots: None,
            slot_size: SLOT_SIZE,
            block_on_keep_last: false,
            runtime_dir: None,
            log_level: LevelFilter::WARN,
            include: None,
            exclude: None,
            thread_per_reader: false,
            complaints: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the strings that Cyclone passed.
    pub(crate) fn parse<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        let mut options = Self::default();
        for (key, value) in strings.into_iter().flat_map(pairs) {
            options.set(&key, &value);
        }
        options
    }

    /// Whether endpoints of these partitions are for shared memory.
    pub(crate) fn wants(&self, partitions: &Partition) -> bool {
        self.include.as_ref().is_none_or(|include| include.matches(partitions))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.matches(partitions))
    }

    fn set(&mut self, key: &str, value: &str) {
        let is_understood = match key {
            "INSTANCE_NAME" | "SERVICE_NAME" => {
                // An INSTANCE_NAME of the user's comes before the one that Cyclone appends.
                if self.instance_name.is_empty() {
                    value.clone_into(&mut self.instance_name);
                }
                true
            }
            "LOCATOR" => put(&mut self.locator, locator(value).map(Some)),
            "SLOTS" => put(&mut self.slots, number(value, 2).map(Some)),
            "SLOT_SIZE" => put(&mut self.slot_size, number(value, 64)),
            "KEEP_LAST" => {
                let blocks = match value {
                    "block" => Some(true),
                    "replace" => Some(false),
                    _ => None,
                };
                put(&mut self.block_on_keep_last, blocks)
            }
            "RUNTIME_DIR" => {
                let path = Some(PathBuf::from(value)).filter(|path| path.is_absolute());
                put(&mut self.runtime_dir, path.map(Some))
            }
            "LOG_LEVEL" => put(&mut self.log_level, LevelFilter::from_str(value).ok()),
            "PARTITIONS" => put(&mut self.include, Some(Some(names(value)))),
            "EXCLUDE_PARTITIONS" => put(&mut self.exclude, Some(Some(names(value)))),
            "THREADS" => {
                let each = match value {
                    "reader" => Some(true),
                    "instance" => Some(false),
                    _ => None,
                };
                put(&mut self.thread_per_reader, each)
            }
            _ => {
                self.complaints.push(format!("there is no option {key}: it is ignored"));
                return;
            }
        };
        if !is_understood {
            self.complaints.push(format!("{key}={value} is not understood: it is ignored"));
        }
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    let is_there = value.is_some();
    if let Some(value) = value {
        *place = value;
    }
    is_there
}

fn number(text: &str, least: u32) -> Option<u32> {
    text.parse().ok().filter(|number| *number >= least)
}

/// Names of partitions, or patterns of them, with commas between them.
fn names(text: &str) -> Partition {
    Partition(text.split(',').map(|name| name.trim().to_owned()).collect())
}

fn locator(text: &str) -> Option<[u8; 16]> {
    let octets: Vec<u8> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    octets.try_into().ok()
}

/// The pairs of `A=B;C=D;`, unescaped.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let (mut key, mut value, mut in_value) = (String::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '=' if !in_value => in_value = true,
            ';' => {
                pairs.push((std::mem::take(&mut key), std::mem::take(&mut value)));
                in_value = false;
            }
            '\\' if in_value => value.extend(characters.next()),
            character if in_value => value.push(character),
            character => key.push(character),
        }
    }
    if in_value {
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(name: &str) -> Partition {
        Partition(vec![name.to_owned()])
    }

    #[test]
    fn the_strings_of_cyclone_are_read() {
        let options = Options::parse([
            "SLOTS=32;SLOT_SIZE=65536;KEEP_LAST=block;RUNTIME_DIR=/tmp/a\\;b;THREADS=reader;\
             LOG_LEVEL=debug;LOCATOR=000102030405060708090a0b0c0d0e0f;",
            "INSTANCE_NAME=dds_shm;",
        ]);
        assert_eq!(options.complaints, Vec::<String>::new());
        assert_eq!((options.slots, options.slot_size), (Some(32), 65536));
        assert!(options.block_on_keep_last && options.thread_per_reader);
        assert_eq!(options.runtime_dir, Some(PathBuf::from("/tmp/a;b")));
        assert_eq!(options.log_level, LevelFilter::DEBUG);
        assert_eq!(options.locator, Some(std::array::from_fn(|at| at as u8)));
        assert_eq!(options.instance_name, "dds_shm");
    }

    #[test]
    fn the_name_that_the_user_gives_is_the_instances() {
        let options = Options::parse(["INSTANCE_NAME=fast;", "INSTANCE_NAME=dds_shm;"]);
        assert_eq!(options.instance_name, "fast");
    }

    #[test]
    fn what_is_not_understood_is_told_and_changes_nothing() {
        let options = Options::parse(["COLOUR=red;SLOTS=none;SLOT_SIZE=1;KEEP_LAST=perhaps", "X"]);
        assert_eq!(options.complaints.len(), 4);
        assert_eq!(Options { complaints: Vec::new(), ..options }, Options::default());
    }

    #[test]
    fn partitions_are_included_or_excluded_by_name_or_pattern() {
        let all = Options::default();
        assert!(all.wants(&Partition(Vec::new())) && all.wants(&partition("a")));
        let some = Options::parse(["PARTITIONS=fast,video*;EXCLUDE_PARTITIONS=video_raw;"]);
        assert!(some.wants(&partition("fast")) && some.wants(&partition("video1")));
        assert!(!some.wants(&partition("video_raw")) && !some.wants(&partition("slow")));
        assert!(!some.wants(&Partition(Vec::new())));
    }
}
