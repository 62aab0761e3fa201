//! What goes wrong again and again is told once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

/// What an endpoint has complained of.
#[derive(Debug)]
pub(crate) struct Complaints {
    topic: String,
    told: Mutex<BTreeSet<String>>,
}

impl Complaints {
    pub(crate) fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), told: Mutex::default() }
    }

    /// Tells what happened, unless the same cause was told before.
    pub(crate) fn tell(&self, what: &str, cause: &dyn Display) {
        let cause = cause.to_string();
        // Sizes and names of objects differ from time to time, and make no other cause.
        let is_said = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
        let said: Vec<_> = cause.split_whitespace().filter(is_said).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(said.join(" ")) {
            drop(told);
            tracing::error!(topic = self.topic, "{what}: {cause}; told once");
        }
    }
}
