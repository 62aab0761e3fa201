//! What a model consists of: slots, samples, readers of which kind, and what may happen to them.

/// A set of readers, by actor.
pub(crate) type Mask = u8;

/// One model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) slots: u32,
    /// How many sequence numbers the owner gives out.
    pub(crate) samples: u64,
    /// How many reader actors there are.
    pub(crate) readers: usize,
    /// How many entries the reader table has.
    pub(crate) entries: usize,
    /// Readers admitted as blocking.
    pub(crate) blocking: Mask,
    /// Whether the owner waits for them (RELIABLE + KEEP_ALL) or replaces what they have not read.
    pub(crate) waits: bool,
    /// Readers that may keep samples while they take the next, and how many at a time.
    pub(crate) keep: Mask,
    pub(crate) holds: usize,
    /// Readers that copy samples out and mark them, without a hazard.
    pub(crate) copies: Mask,
    /// Readers that are not there from the start.
    pub(crate) join: Mask,
    /// Readers that want kept history when they join, and how much of it is kept.
    pub(crate) history: Mask,
    pub(crate) depth: usize,
    /// Whether it is kept only until the blocking readers have read it, whoever waits for them else.
    pub(crate) until_read: bool,
    /// Readers whose lease may expire, how often, and whether they come back.
    pub(crate) lease: Mask,
    pub(crate) leases: u8,
    pub(crate) returns: Mask,
    /// Readers that may be killed at any step.
    pub(crate) kill: Mask,
    /// Readers that may leave.
    pub(crate) leave: Mask,
    /// Readers whose wish to join may be refused.
    pub(crate) refuse: Mask,
    /// How many loans there may be at a time, and how many may be given back unpublished.
    pub(crate) loans: usize,
    pub(crate) discards: u8,
    /// Whether the owner may take a slot ahead of time. (It does at commit; here at any time.)
    pub(crate) ahead: bool,
    /// Whether a sample that finds no slot is dropped.
    pub(crate) drops: bool,
    /// Whether an owner that finds no slot sleeps on the space bell.
    pub(crate) bell: bool,
    /// How often an owner may be killed at any step.
    pub(crate) owner_kills: u8,
    /// Whether a killed owner's segment is adopted.
    pub(crate) adopt: bool,
}

impl Config {
    /// Two readers that block the owner, two slots, three samples, nothing goes wrong.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        slots: 2,
        samples: 3,
        readers: 2,
        entries: 2,
        blocking: 0b111,
        waits: true,
        keep: 0,
        holds: 1,
        copies: 0,
        join: 0,
        history: 0,
        depth: 0,
        until_read: false,
        lease: 0,
        leases: 1,
        returns: 0,
        kill: 0,
        leave: 0,
        refuse: 0,
        loans: 1,
        discards: 0,
        ahead: false,
        drops: false,
        bell: false,
        owner_kills: 0,
        adopt: false,
    };

    /// Whether the readers' `State` words ever change while they are served.
    pub(crate) fn unsettled(&self) -> bool {
        self.lease | self.kill | self.leave | self.join != 0 || self.owner_kills > 0
    }
}
