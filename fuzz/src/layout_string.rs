//! Canonical layout strings of types.

use dds_shm::types::{ParsedLayout, TypeHash};

/// A string that is understood is the canonical one, and what it says fits together.
pub fn run(input: &[u8]) {
    let Ok(layout) = ParsedLayout::parse(input) else { return };
    let text = layout.to_string();
    assert_eq!(text.as_bytes(), input);
    assert!(layout.align().is_power_of_two() && layout.size().is_multiple_of(layout.align()));
    assert_eq!(layout.first_difference(&layout), None);
    assert_eq!(TypeHash::of_layout(&text), TypeHash::of_layout(&layout.to_string()));
}
