//! The plugin: writers to segments, readers to attachments, matching, events.
#![forbid(unsafe_code)]
