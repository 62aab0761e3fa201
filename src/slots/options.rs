//! How a segment is made.

use std::path::PathBuf;
use std::time::Duration;

use super::geometry::MAX_STRINGS;
use super::{Geometry, Identity, Incarnation, MAX_READERS, OwnerCore, SegmentFlags, SlotError};
use crate::types::{FlatStruct, SegmentFormat, TypeHash};

/// How a writer treats readers that are behind, as its QoS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPolicy {
    /// Unread samples of reliable readers are not replaced (RELIABLE with KEEP_ALL).
    pub waits_for_readers: bool,
    /// How long a writer that finds no free slot waits for one; `None`: not at all, the new sample
    /// is dropped and counted (BEST_EFFORT).
    pub max_blocking_time: Option<Duration>,
    /// How long a write waits for reliable readers before it replaces what they have not read, at most
    /// `max_blocking_time`. Not again, after it waited in vain, until they have read something.
    pub patience: Duration,
}

impl FlowPolicy {
    /// RELIABLE, KEEP_ALL: nothing is lost, a write blocks up to `max_blocking_time`.
    #[must_use]
    pub const fn keep_all(max_blocking_time: Duration) -> Self {
        Self {
            waits_for_readers: true,
            max_blocking_time: Some(max_blocking_time),
            patience: Duration::ZERO,
        }
    }

    /// RELIABLE, KEEP_LAST: older samples are replaced; a write waits only when every slot is in
    /// use.
    #[must_use]
    pub const fn keep_last(max_blocking_time: Duration) -> Self {
        Self {
            waits_for_readers: false,
            max_blocking_time: Some(max_blocking_time),
            patience: Duration::ZERO,
        }
    }

    /// BEST_EFFORT: never waits.
    #[must_use]
    pub const fn best_effort() -> Self {
        Self { waits_for_readers: false, max_blocking_time: None, patience: Duration::ZERO }
    }

    /// KEEP_LAST that gives readers so much time to keep up.
    #[must_use]
    pub const fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// Who may open a segment besides its owner's user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: both objects 0600.
    #[default]
    Owner,
    /// The owner's group reads: `.ctl` 0660, `.dat` 0640.
    Group,
    /// Every user reads: `.ctl` 0666, `.dat` 0644.
    World,
}

impl Sharing {
    pub(crate) const fn ctl_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::World => 0o666,
        }
    }

    pub(crate) const fn dat_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o640,
            Self::World => 0o644,
        }
    }
}

/// What a segment is made for and how large it is; a builder.
#[derive(Clone, Debug)]
pub struct SegmentOptions {
    pub(crate) topic: String,
    pub(crate) type_name: String,
    pub(crate) type_hash: TypeHash,
    pub(crate) layout: String,
    pub(crate) guid: [u8; 16],
    pub(crate) capacity: u32,
    pub(crate) slots: Option<u32>,
    pub(crate) depth: u32,
    pub(crate) instances: u32,
    pub(crate) history: bool,
    pub(crate) keep_until_read: Option<u32>,
    pub(crate) max_loans: u32,
    pub(crate) expected_readers: u32,
    pub(crate) max_held: u32,
    pub(crate) reader_capacity: u32,
    pub(crate) keyed: bool,
    pub(crate) transient_local: bool,
    pub(crate) flow: FlowPolicy,
    pub(crate) sharing: Sharing,
    pub(crate) populate_up_to: usize,
    pub(crate) durable_name: Option<String>,
    pub(crate) flink: Option<PathBuf>,
    pub(crate) misbehaves_after: Duration,
    pub(crate) format: SegmentFormat,
}

impl SegmentOptions {
    /// A segment for samples of up to `capacity` bytes with the given type hash and canonical
    /// layout string (empty for serialised samples).
    #[must_use]
    pub fn new(topic: &str, type_name: &str, type_hash: TypeHash, capacity: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            type_name: type_name.to_owned(),
            type_hash,
            layout: String::new(),
            guid: Incarnation::random().0,
            capacity,
            slots: None,
            depth: 1,
            instances: 1,
            history: false,
            keep_until_read: None,
            max_loans: 2,
            expected_readers: 4,
            max_held: 2,
            reader_capacity: MAX_READERS as u32,
            keyed: false,
            transient_local: false,
            flow: FlowPolicy::keep_all(Duration::from_millis(100)),
            sharing: Sharing::Owner,
            populate_up_to: 64 << 20,
            durable_name: None,
            flink: None,
            misbehaves_after: Duration::from_secs(1),
            format: SegmentFormat::V1,
        }
    }

    /// A segment for samples of type `T`.
    #[must_use]
    pub fn of<T: FlatStruct>(topic: &str) -> Self {
        Self::new(topic, T::TYPE_NAME, T::type_hash(), size_of::<T>() as u32)
            .layout(&T::layout_string())
    }

    /// Canonical layout string of the samples, for error messages and other languages.
    #[must_use]
    pub fn layout(mut self, layout: &str) -> Self {
        layout.clone_into(&mut self.layout);
        self
    }

    /// RTPS GUID of the writer. Default: random octets.
    #[must_use]
    pub fn guid(mut self, guid: [u8; 16]) -> Self {
        self.guid = guid;
        self
    }

    /// How many slots, instead of the number that depth, loans, readers and holds ask for.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// How many samples (of each instance) are to be there besides those on loan or held.
    /// Default 1.
    #[must_use]
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// The last `depth` samples of each of up to `instances` instances are never replaced
    /// (KEEP_LAST); with `transient_local` they are also given to late joiners.
    #[must_use]
    pub fn keep_last(mut self, depth: u32, instances: u32, transient_local: bool) -> Self {
        self.depth = depth;
        self.instances = instances;
        self.history = true;
        self.transient_local = transient_local;
        self
    }

    /// The last `depth` samples of each instance, however many instances there are, are not replaced
    /// until every reliable reader has read them: KEEP_LAST of a keyed topic without a limit on
    /// instances. A write waits when every slot has such a sample.
    #[must_use]
    pub fn keep_until_read(mut self, depth: u32) -> Self {
        self.keep_until_read = Some(depth);
        self
    }

    /// The topic has a key.
    #[must_use]
    pub fn keyed(mut self, keyed: bool) -> Self {
        self.keyed = keyed;
        self
    }

    /// How many loans may be out at once. Default 2. More may be had while slots are free; a writer
    /// that would have to wait for one gets [`SlotError::TooManyLoans`](super::SlotError::TooManyLoans).
    #[must_use]
    pub fn max_loans(mut self, loans: u32) -> Self {
        self.max_loans = loans;
        self
    }

    /// How many readers are planned for (default 4) and how many samples each may have in use at
    /// once (default 2). More readers are served too, as long as there are slots.
    #[must_use]
    pub fn readers(mut self, expected: u32, max_held: u32) -> Self {
        self.expected_readers = expected;
        self.max_held = max_held;
        self
    }

    /// How many readers are admitted at most; 1 to 64, default 64.
    #[must_use]
    pub fn reader_capacity(mut self, capacity: u32) -> Self {
        self.reader_capacity = capacity;
        self
    }

    /// How readers that are behind are treated. Default: KEEP_ALL with 100 ms.
    #[must_use]
    pub fn flow(mut self, flow: FlowPolicy) -> Self {
        self.flow = flow;
        self
    }

    /// Who may open the segment. Default: the owner's user alone.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Objects up to this size get their pages when they are mapped, not at the first write.
    /// Default 64 MiB.
    #[must_use]
    pub fn populate_up_to(mut self, bytes: usize) -> Self {
        self.populate_up_to = bytes;
        self
    }

    /// The segment outlives its writer for a while, and a writer that names it again adopts it:
    /// the sequence goes on and the kept history is there.
    #[must_use]
    pub fn durable_name(mut self, name: &str) -> Self {
        self.durable_name = Some(name.to_owned());
        self
    }

    /// Where the flink file is to be, instead of the runtime dir.
    #[must_use]
    pub fn flink(mut self, path: impl Into<PathBuf>) -> Self {
        self.flink = Some(path.into());
        self
    }

    /// A reader that pins every slot for so long while it lives is left behind. Default 1 s.
    #[must_use]
    pub fn misbehaves_after(mut self, time: Duration) -> Self {
        self.misbehaves_after = time;
        self
    }

    /// [`SegmentFormat::ZDS2`] for a segment that ZeroDDS reads. It keeps fewer promises than the
    /// project's own, which is the default: what it cannot do is refused (`spec-notes/zerodds.md`).
    #[must_use]
    pub fn format(mut self, format: SegmentFormat) -> Self {
        self.format = format;
        self
    }

    /// Whether a RELIABLE reader may hold the writer up: it is waited for, or given time, or samples are
    /// kept until it has read them.
    pub(crate) fn readers_hold_up(&self) -> bool {
        self.flow.waits_for_readers
            || !self.flow.patience.is_zero()
            || self.keep_until_read.is_some()
    }

    /// The owner of a fresh segment.
    pub(crate) fn owner_core(&self, geometry: &Geometry) -> OwnerCore {
        let (slots, readers) = (geometry.slot_count, geometry.reader_capacity as usize);
        let mut core = OwnerCore::new(slots, readers, self.history_depth() as usize);
        if let Some(depth) = self.keep_until_read {
            core.keep_until_read(depth as usize);
        }
        core
    }

    /// How many samples of each instance are kept.
    pub(crate) fn history_depth(&self) -> u32 {
        if self.history { self.depth } else { 0 }
    }

    /// How many slots the segment gets.
    ///
    /// # Errors
    /// [`SlotError::Plan`] if they cannot be counted.
    pub fn planned_slots(&self) -> Result<u32, SlotError> {
        let plan = || {
            let depth = self.depth.checked_mul(self.instances.max(1))?;
            let held = self.expected_readers.checked_mul(self.max_held)?;
            depth.checked_add(self.max_loans)?.checked_add(held)
        };
        let planned = match self.slots {
            Some(slots) => slots,
            None => {
                let least = if self.capacity < 64 << 10 { 8 } else { 1 };
                plan()
                    .ok_or_else(|| SlotError::Plan {
                        reason: format!(
                            "{} samples of {} instances do not fit a segment",
                            self.depth, self.instances
                        ),
                    })?
                    .max(least)
            }
        };
        let kept = self.history_depth().saturating_mul(self.instances.max(1));
        if planned <= kept {
            return Err(SlotError::Plan {
                reason: format!("{planned} slots leave none beside {kept} kept samples"),
            });
        }
        Ok(planned)
    }

    /// The identity of a new incarnation.
    pub(crate) fn identity(&self) -> Result<Identity, SlotError> {
        let strings = Identity::strings_len(&self.topic, &self.type_name, &self.layout);
        if strings > MAX_STRINGS {
            return Err(SlotError::Plan {
                reason: format!(
                    "topic, type name and layout take {strings} octets, at most {MAX_STRINGS} fit"
                ),
            });
        }
        let geometry =
            Geometry::plan(self.planned_slots()?, self.capacity, self.reader_capacity, strings)?;
        let flag = |set, flag| if set { flag } else { SegmentFlags::default() };
        let flags = flag(self.flow.max_blocking_time.is_some(), SegmentFlags::RELIABLE)
            .with(flag(!self.flow.waits_for_readers, SegmentFlags::KEEP_LAST))
            .with(flag(self.keyed, SegmentFlags::KEYED))
            .with(flag(self.transient_local, SegmentFlags::TRANSIENT_LOCAL));
        Ok(Identity {
            incarnation: Incarnation::random(),
            type_hash: self.type_hash,
            topic: self.topic.clone(),
            type_name: self.type_name.clone(),
            layout: self.layout.clone(),
            geometry,
            history_depth: self.history_depth(),
            max_held: self.max_held.max(1),
            flags,
        })
    }
}
