//! Segment format, slot protocol, `SlotBackend` and its allocators.
