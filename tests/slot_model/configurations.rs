//! The configurations that are explored, and the one in which each seeded bug must be found.

use crate::config::Config;
use crate::mutant::Mutant;

const PLAIN: Config = Config::PLAIN;

/// Two readers that may be overtaken.
const OVERWRITING: Config = Config { waits: false, ..PLAIN };

/// Two readers that may be overtaken, but not by what is the last sample.
const LAST_UNTIL_READ: Config = Config { depth: 1, until_read: true, ..OVERWRITING };

/// Reader 0 blocks the owner, reader 1 may be overtaken.
const MIXED: Config = Config { blocking: 0b01, ..PLAIN };

/// An owner that may be killed at any step, and followed by another.
const ADOPTED: Config = Config { owner_kills: 1, adopt: true, ..PLAIN };

/// One slot, and an owner that sleeps when it is in use.
const BELL: Config = Config { bell: true, slots: 1, samples: 2, ..PLAIN };

/// Explored by every `cargo test`.
pub(crate) const SMALL: &[Config] = &[
    Config { name: "blocking, keep both", keep: 0b11, ..PLAIN },
    Config { name: "overwriting", ..OVERWRITING },
    Config { name: "mixed, keep both", keep: 0b11, ..MIXED },
    Config { name: "overwriting, keep r1", keep: 0b10, ..OVERWRITING },
    Config { name: "overwriting, last until read", ..LAST_UNTIL_READ },
    Config {
        name: "overwriting, last until read, lease and return",
        lease: 0b10,
        returns: 0b10,
        ..LAST_UNTIL_READ
    },
    Config { name: "blocking, lease", lease: 0b10, ..PLAIN },
    Config { name: "blocking, lease and return", lease: 0b10, returns: 0b10, ..PLAIN },
    Config { name: "blocking, both killed", kill: 0b11, ..PLAIN },
    Config { name: "overwriting, r1 killed", kill: 0b10, ..OVERWRITING },
    Config { name: "blocking, late join", join: 0b10, ..PLAIN },
    Config {
        name: "blocking, late join, lease and return",
        join: 0b10,
        lease: 0b10,
        returns: 0b10,
        ..PLAIN
    },
    Config { name: "blocking, r1 leaves, keep r1", leave: 0b10, keep: 0b10, ..PLAIN },
    Config { name: "entry reused after leave", join: 0b10, leave: 0b01, entries: 1, ..PLAIN },
    Config { name: "entry reused after a kill", join: 0b10, kill: 0b01, entries: 1, ..PLAIN },
    Config { name: "two race for an entry", join: 0b11, leave: 0b11, entries: 1, ..PLAIN },
    Config { name: "refused, entry reused", join: 0b11, refuse: 0b01, entries: 1, ..PLAIN },
    Config { name: "joins and is killed", join: 0b10, kill: 0b10, ..PLAIN },
    Config { name: "joins and leaves", join: 0b10, leave: 0b10, ..PLAIN },
    Config { name: "mixed, r1 copies", copies: 0b10, ..MIXED },
    Config { name: "owner dies, mixed", owner_kills: 1, ..MIXED },
    Config { name: "owner adopted, blocking", ..ADOPTED },
    Config { name: "ahead, blocking, keep r1", ahead: true, keep: 0b10, ..PLAIN },
    Config { name: "ahead, mixed", ahead: true, ..MIXED },
    Config { name: "n1 bell, blocking", ..BELL },
    Config { name: "n1 bell, mixed", blocking: 0b01, ..BELL },
    Config { name: "n1 bell, lease, r1 killed", lease: 0b10, kill: 0b10, ..BELL },
];

/// Explored by `scripts/model.sh`.
pub(crate) const LARGE: &[Config] = &[
    Config {
        name: "n3 k4 last two until read, r1 may be overtaken and keeps, ahead",
        slots: 3,
        samples: 4,
        depth: 2,
        blocking: 0b01,
        keep: 0b10,
        ahead: true,
        ..LAST_UNTIL_READ
    },
    Config {
        name: "last until read, late join, r1 killed",
        join: 0b10,
        kill: 0b10,
        ..LAST_UNTIL_READ
    },
    Config { name: "ahead, overwriting, keep both", ahead: true, keep: 0b11, ..OVERWRITING },
    Config {
        name: "n3 k4 ahead, two loans, keep r1",
        ahead: true,
        slots: 3,
        samples: 4,
        loans: 2,
        keep: 0b10,
        ..PLAIN
    },
    Config {
        name: "ahead, lease and return, r1 killed",
        ahead: true,
        lease: 0b10,
        returns: 0b10,
        kill: 0b10,
        ..PLAIN
    },
    Config {
        name: "n3 k4 ahead, late join with history",
        ahead: true,
        slots: 3,
        samples: 4,
        join: 0b10,
        history: 0b10,
        depth: 1,
        ..PLAIN
    },
    Config { name: "ahead, owner adopted, keep r1", ahead: true, keep: 0b10, ..ADOPTED },
    Config { name: "overwriting, r1 copies", copies: 0b10, ..OVERWRITING },
    Config { name: "mixed, both copy, r1 killed", copies: 0b11, kill: 0b10, ..MIXED },
    Config {
        name: "blocking, r1 copies, lease and return",
        copies: 0b10,
        lease: 0b10,
        returns: 0b10,
        ..PLAIN
    },
    Config { name: "owner adopted, r1 copies", copies: 0b10, ..ADOPTED },
    Config { name: "three readers, blocking", readers: 3, entries: 3, ..PLAIN },
    Config { name: "three readers, mixed", readers: 3, entries: 3, ..MIXED },
    Config {
        name: "n3 k4 owner adopted, history",
        slots: 3,
        samples: 4,
        join: 0b10,
        history: 0b10,
        depth: 1,
        ..ADOPTED
    },
    Config { name: "n3 k5 mixed, keep both", slots: 3, samples: 5, keep: 0b11, ..MIXED },
    Config { name: "n3 k5 overwriting, keep r1", slots: 3, samples: 5, keep: 0b10, ..OVERWRITING },
    Config { name: "overwriting, keep both", keep: 0b11, ..OVERWRITING },
    Config { name: "k4 overwriting, keep r1", samples: 4, keep: 0b10, ..OVERWRITING },
    Config { name: "overwriting, discard", discards: 1, ..OVERWRITING },
    Config { name: "overwriting, drops, keep both", drops: true, keep: 0b11, ..OVERWRITING },
    Config { name: "mixed, drops, keep r1", drops: true, keep: 0b10, ..MIXED },
    Config { name: "overwriting, r1 killed, keep r1", kill: 0b10, keep: 0b10, ..OVERWRITING },
    Config { name: "mixed, both killed, keep r1", kill: 0b11, keep: 0b10, ..MIXED },
    Config {
        name: "blocking, lease and return, keep r1",
        lease: 0b10,
        returns: 0b10,
        keep: 0b10,
        ..PLAIN
    },
    Config {
        name: "blocking, lease twice and return",
        lease: 0b10,
        leases: 2,
        returns: 0b10,
        ..PLAIN
    },
    Config {
        name: "blocking, lease, return, leave",
        lease: 0b10,
        returns: 0b10,
        leave: 0b10,
        ..PLAIN
    },
    Config {
        name: "blocking, lease, return, killed, discard",
        lease: 0b10,
        returns: 0b10,
        kill: 0b10,
        discards: 1,
        ..PLAIN
    },
    Config { name: "blocking, late join, both killed", join: 0b10, kill: 0b11, ..PLAIN },
    Config {
        name: "k4 blocking, late join with history",
        samples: 4,
        slots: 3,
        join: 0b10,
        history: 0b10,
        depth: 1,
        ..PLAIN
    },
    Config {
        name: "k4 overwriting, late join with history",
        samples: 4,
        slots: 3,
        join: 0b10,
        history: 0b10,
        depth: 1,
        ..OVERWRITING
    },
    Config { name: "owner dies, overwriting, keep r1", owner_kills: 1, keep: 0b10, ..OVERWRITING },
    Config {
        name: "owner adopted, overwriting, keep r1",
        owner_kills: 1,
        adopt: true,
        keep: 0b10,
        ..OVERWRITING
    },
    Config {
        name: "owner adopted, mixed, keep r1",
        owner_kills: 1,
        adopt: true,
        keep: 0b10,
        ..MIXED
    },
    Config { name: "owner adopted twice, overwriting", owner_kills: 2, adopt: true, ..OVERWRITING },
    Config { name: "owner adopted, lease and return", lease: 0b10, returns: 0b10, ..ADOPTED },
    Config { name: "owner adopted, r1 killed, keep r1", kill: 0b10, keep: 0b10, ..ADOPTED },
    Config { name: "owner adopted, late join", join: 0b10, ..ADOPTED },
    Config { name: "owner adopted, r1 leaves", leave: 0b10, ..ADOPTED },
    Config { name: "owner adopted, entry reused", leave: 0b11, join: 0b10, entries: 1, ..ADOPTED },
    Config { name: "n3 k4 owner adopted, two loans", slots: 3, samples: 4, loans: 2, ..ADOPTED },
    Config {
        name: "owner adopted, drops",
        owner_kills: 1,
        adopt: true,
        drops: true,
        keep: 0b10,
        ..OVERWRITING
    },
    Config { name: "owner adopted, n1 bell", owner_kills: 1, adopt: true, ..BELL },
    Config { name: "owner dies, lease", owner_kills: 1, lease: 0b10, ..PLAIN },
    Config { name: "n3 k4 blocking, keep r1", slots: 3, samples: 4, keep: 0b10, ..PLAIN },
    Config { name: "n3 k4 mixed, keep r1", slots: 3, samples: 4, keep: 0b10, ..MIXED },
    Config { name: "n3 k4 overwriting, keep r1", slots: 3, samples: 4, keep: 0b10, ..OVERWRITING },
    Config { name: "n3 k4 two loans, overwriting", slots: 3, samples: 4, loans: 2, ..OVERWRITING },
    Config {
        name: "n3 k4 two loans, blocking, keep r1",
        slots: 3,
        samples: 4,
        loans: 2,
        keep: 0b10,
        ..PLAIN
    },
    Config { name: "n3 k4 two loans, mixed", slots: 3, samples: 4, loans: 2, ..MIXED },
    Config {
        name: "n3 k4 two loans, lease and return",
        slots: 3,
        samples: 4,
        loans: 2,
        lease: 0b10,
        returns: 0b10,
        ..PLAIN
    },
    Config { name: "n3 k5 blocking, keep both", slots: 3, samples: 5, keep: 0b11, ..PLAIN },
    Config { name: "n1 bell, overwriting, keep both", waits: false, keep: 0b11, ..BELL },
    Config { name: "k3 n1 bell, mixed", samples: 3, blocking: 0b01, ..BELL },
    Config { name: "bell, blocking, keep r1", bell: true, keep: 0b10, ..PLAIN },
    Config { name: "bell, mixed", bell: true, ..MIXED },
    Config { name: "bell, lease, killed", bell: true, lease: 0b10, kill: 0b10, ..PLAIN },
    Config {
        name: "n1 bell, lease, return, killed",
        lease: 0b10,
        returns: 0b10,
        kill: 0b10,
        ..BELL
    },
];

/// How each kind of violation begins.
const TORN: &str = "TORN";
const STRAY: &str = "STRAY";
const HANG: &str = "HANG";
const BLOCKED: &str = "BLOCKED";
const GAP: &str = "FALSE GAP";
const REUSED: &str = "REUSED";
const COUNT: &str = "COUNT";
/// What a debug build says of a slot that is published twice.
const PANIC: &str = "PANIC";
const LOSS: &str = "LOSS";
const CURSOR: &str = "CURSOR";
const EVICTED: &str = "EVICTED";
const HISTORY: &str = "HISTORY";
const WAKE: &str = "LOST WAKE";

/// Each seeded bug, a configuration that has what it needs, and how it may show.
pub(crate) const MUTANTS: &[(Mutant, Config, &[&str])] = &[
    (Mutant::OwnerIgnoresHazards, Config { name: "overwriting", ..OVERWRITING }, &[TORN]),
    (
        Mutant::OwnerLooksAtHoldsOnlyBeforeTheClaim,
        Config { name: "overwriting, keep r1", keep: 0b10, ..OVERWRITING },
        &[TORN],
    ),
    (
        Mutant::OwnerLooksAtHoldsBeforeCursors,
        Config { name: "blocking, keep r1", keep: 0b10, ..PLAIN },
        &[TORN],
    ),
    (Mutant::OwnerClaimsWithZero, Config { name: "overwriting", ..OVERWRITING }, &[GAP]),
    (Mutant::OwnerForgetsToPutBack, Config { name: "overwriting", ..OVERWRITING }, &[GAP, HANG]),
    (Mutant::OwnerPublishesHeadBeforeSeq, Config { name: "blocking", ..PLAIN }, &[GAP]),
    (Mutant::OwnerTakesCursorsForPassed, Config { name: "blocking", ..PLAIN }, &[TORN, LOSS]),
    (
        Mutant::OwnerKeepsTheMinimumAtAdmission,
        Config {
            name: "late join with history",
            samples: 4,
            join: 0b10,
            history: 0b10,
            depth: 1,
            ..PLAIN
        },
        &[TORN, LOSS],
    ),
    (Mutant::OwnerIgnoresHolds, Config { name: "blocking, keep r1", keep: 0b10, ..PLAIN }, &[TORN]),
    (
        Mutant::OwnerClaimsNothing,
        Config { name: "one reader, overwriting", readers: 1, ..OVERWRITING },
        &[TORN],
    ),
    (
        Mutant::OwnerClaimsAfterItsLook,
        Config { name: "one reader, overwriting", readers: 1, ..OVERWRITING },
        &[TORN],
    ),
    (
        Mutant::OwnerLooksAtHoldsBeforeHazards,
        Config { name: "one reader, overwriting, keep", readers: 1, keep: 1, ..OVERWRITING },
        &[TORN],
    ),
    (
        Mutant::OwnerKeepsTheNumberOfWhatItOverwrites,
        Config { name: "one reader, adopted", readers: 1, waits: false, ..ADOPTED },
        &[TORN],
    ),
    (
        Mutant::OwnerPublishesBeforeItHasWritten,
        Config { name: "one reader", readers: 1, ..PLAIN },
        &[TORN],
    ),
    (Mutant::OwnerWaitsForNobody, Config { name: "one reader", readers: 1, ..PLAIN }, &[LOSS]),
    (
        Mutant::OwnerWaitsForTheDisconnected,
        Config { name: "lease", lease: 0b10, ..PLAIN },
        &[BLOCKED, HANG],
    ),
    (Mutant::OwnerWaitsForBestEffort, Config { name: "mixed", ..MIXED }, &[BLOCKED]),
    (
        Mutant::OwnerTakesTheDisconnectedForDead,
        Config { name: "one reader, lease", readers: 1, lease: 1, ..PLAIN },
        &[TORN],
    ),
    (
        Mutant::OwnerTakesWhatIsOnLoan,
        Config { name: "one reader, two loans", readers: 1, loans: 2, slots: 1, ..PLAIN },
        &[TORN, PANIC],
    ),
    (
        Mutant::OwnerTakesItsHistory,
        Config { name: "overwriting, history", depth: 1, readers: 1, ..OVERWRITING },
        &[HISTORY],
    ),
    (
        Mutant::OwnerTakesItsHistory,
        Config { name: "last until read", readers: 1, ..LAST_UNTIL_READ },
        &[HISTORY],
    ),
    (
        Mutant::AheadIgnoresHolds,
        Config { name: "one reader, ahead, keep", readers: 1, ahead: true, keep: 1, ..PLAIN },
        &[TORN],
    ),
    (
        Mutant::AheadTakesWhatIsWanted,
        Config { name: "one reader, ahead", readers: 1, ahead: true, ..PLAIN },
        &[TORN, LOSS],
    ),
    (
        Mutant::AheadTakesWhatIsOnLoan,
        Config {
            name: "one reader, two loans, ahead",
            readers: 1,
            loans: 2,
            slots: 1,
            ahead: true,
            ..PLAIN
        },
        &[TORN, PANIC],
    ),
    (
        Mutant::AheadTakesTheHistory,
        Config {
            name: "one reader, two loans, ahead, history",
            readers: 1,
            loans: 2,
            samples: 4,
            depth: 1,
            ahead: true,
            ..PLAIN
        },
        &[HISTORY],
    ),
    (
        Mutant::CommitMovesNoHead,
        Config { name: "one reader, overwriting", readers: 1, ..OVERWRITING },
        &[HANG],
    ),
    (
        Mutant::DropTakesNoNumber,
        Config {
            name: "one reader, one slot, drops",
            readers: 1,
            slots: 1,
            drops: true,
            ..OVERWRITING
        },
        &[HANG],
    ),
    (Mutant::ExpiryFreesTheEntry, Config { name: "lease", lease: 0b10, ..PLAIN }, &[TORN, EVICTED]),
    (
        Mutant::ExpiryIsNotSaid,
        Config { name: "lease and return", readers: 1, lease: 1, returns: 1, ..PLAIN },
        &[HANG],
    ),
    (
        Mutant::VacateLeavesHolds,
        Config { name: "entry reused, keep", join: 2, kill: 1, keep: 1, entries: 1, ..PLAIN },
        &[HANG, STRAY],
    ),
    (
        Mutant::VacateFreesBeforeItClears,
        Config { name: "entry reused", join: 0b10, kill: 0b01, entries: 1, ..PLAIN },
        &[HANG],
    ),
    (
        Mutant::VacateForgetsTheRequestFirst,
        Config { name: "one reader, adopted, leaves", readers: 1, leave: 0b01, ..ADOPTED },
        &[HANG],
    ),
    (
        Mutant::NobodyClearsTheHazard,
        Config { name: "entry reused", join: 0b10, kill: 0b01, entries: 1, ..PLAIN },
        &[STRAY],
    ),
    (
        Mutant::RefusalIsNotSaid,
        Config { name: "refused, entry reused", join: 0b11, refuse: 0b01, entries: 1, ..PLAIN },
        &[HANG],
    ),
    (
        Mutant::ReturnIsNotSaid,
        Config { name: "lease and return", readers: 1, lease: 1, returns: 1, ..PLAIN },
        &[HANG],
    ),
    (
        Mutant::AdoptionStoresNoHead,
        Config { name: "one reader copies, adopted", readers: 1, copies: 1, ..ADOPTED },
        &[HANG],
    ),
    (
        Mutant::AdoptionForgetsTheHead,
        Config { name: "adopted", ..ADOPTED },
        &[REUSED, "INCONSISTENT"],
    ),
    (
        Mutant::AdoptionLeavesClaims,
        Config { name: "one reader, adopted", readers: 1, waits: false, ..ADOPTED },
        &[HANG],
    ),
    (
        Mutant::AdoptionForgetsTheHistory,
        Config { name: "adopted, history", readers: 1, depth: 1, waits: false, ..ADOPTED },
        &[HISTORY],
    ),
    (
        Mutant::AdmissionLeavesTheCursor,
        Config {
            name: "entry reused, history",
            slots: 3,
            samples: 4,
            join: 0b10,
            leave: 0b01,
            entries: 1,
            history: 0b10,
            depth: 1,
            ..PLAIN
        },
        &[TORN, LOSS],
    ),
    (
        Mutant::AdmissionStateBeforeStart,
        Config { name: "late join", join: 0b10, ..PLAIN },
        &[HANG, GAP, LOSS, CURSOR],
    ),
    (Mutant::ReaderSetsNoHazard, Config { name: "overwriting", ..OVERWRITING }, &[TORN]),
    (Mutant::ReaderIgnoresTheHead, Config { name: "one reader", readers: 1, ..PLAIN }, &[GAP]),
    (
        Mutant::ReaderIgnoresItsState,
        Config { name: "lease and return", readers: 1, lease: 1, returns: 1, ..PLAIN },
        &[HANG],
    ),
    (
        Mutant::ReaderIgnoresWhereItJoined,
        Config {
            name: "late join with history",
            readers: 1,
            slots: 3,
            samples: 4,
            join: 1,
            history: 1,
            depth: 1,
            ..OVERWRITING
        },
        &[COUNT],
    ),
    (
        Mutant::ReaderWaitsForTheDead,
        Config { name: "owner dies", readers: 1, owner_kills: 1, ..OVERWRITING },
        &[HANG],
    ),
    (
        Mutant::TakeLeavesItsHazard,
        Config { name: "one reader, overwriting", readers: 1, ..OVERWRITING },
        &[STRAY],
    ),
    (
        Mutant::FailedTakeOwesNothing,
        Config { name: "bell, one reader, overwriting", readers: 1, waits: false, ..BELL },
        &[WAKE],
    ),
    (
        Mutant::KeepSetsNoBit,
        Config { name: "one reader, keep", readers: 1, keep: 1, ..PLAIN },
        &[TORN],
    ),
    (
        Mutant::CopyLooksOnce,
        Config { name: "one reader copies", readers: 1, copies: 0b01, ..OVERWRITING },
        &[TORN],
    ),
    (Mutant::ReaderLooksOnce, Config { name: "overwriting", ..OVERWRITING }, &[TORN]),
    (
        Mutant::KeepMovesCursorBeforeHold,
        Config { name: "blocking, keep r1", keep: 0b10, ..PLAIN },
        &[TORN],
    ),
    (
        Mutant::KeepLowersHazardBeforeHold,
        Config { name: "overwriting, keep r1", keep: 0b10, ..OVERWRITING },
        &[TORN],
    ),
    (Mutant::ReleaseForgetsCursor, Config { name: "blocking", ..PLAIN }, &[HANG]),
    (
        Mutant::ReleaseForgetsHold,
        Config { name: "blocking, keep r1", keep: 0b10, ..PLAIN },
        &[STRAY],
    ),
    (Mutant::ReleaseLeavesItsHazard, Config { name: "one reader", readers: 1, ..PLAIN }, &[STRAY]),
    (
        Mutant::GapByDirectoryAlone,
        Config { name: "n3 k4 overwriting, keep r0", slots: 3, samples: 4, keep: 1, ..OVERWRITING },
        &[GAP],
    ),
    (Mutant::GapUnderClaim, Config { name: "overwriting", ..OVERWRITING }, &[GAP]),
    (
        Mutant::EntryClaimedBlindly,
        Config { name: "two race for an entry", join: 0b11, leave: 0b11, entries: 1, ..PLAIN },
        &[TORN, STRAY, HANG, CURSOR, EVICTED],
    ),
    (Mutant::ReaderNeverLooksAtTheBell, Config { name: "bell", ..BELL }, &[WAKE]),
    (Mutant::OwnerSleepsWithoutALook, Config { name: "bell", ..BELL }, &[WAKE]),
    (Mutant::OwnerAnnouncesNothing, Config { name: "bell", ..BELL }, &[WAKE]),
    (Mutant::WakerTakesNoFlag, Config { name: "bell", ..BELL }, &[WAKE]),
    (Mutant::WakerForgetsTheGeneration, Config { name: "bell", ..BELL }, &[WAKE, HANG, BLOCKED]),
];

/// Changes of the protocol that must not be noticed, and where they are looked for.
pub(crate) const HARMLESS: &[(Mutant, &[&str])] = &[
    (
        Mutant::ReleaseLowersHazardBeforeCursor,
        &["blocking, lease", "overwriting", "blocking, both killed", "n1 bell, blocking"],
    ),
    (Mutant::OwnerForgetsTheDirectory, &["overwriting", "blocking, lease"]),
    (Mutant::KeepLowersHazardBeforeCursor, &["overwriting, keep r1", "blocking, keep both"]),
    (Mutant::GapLeavesTheCursor, &["overwriting", "blocking, lease and return"]),
    (Mutant::AdmissionStateBeforeCursor, &["blocking, late join", "joins and leaves"]),
    (Mutant::AdmissionLeavesTheHazard, &["entry reused after leave", "entry reused after a kill"]),
    (Mutant::VacateLeavesTheHazard, &["entry reused after a kill", "overwriting, r1 killed"]),
    (
        Mutant::OwnerKeepsTheMinimumAtReturn,
        &["blocking, lease and return", "blocking, late join, lease and return"],
    ),
    (Mutant::AdoptionLeavesStrayBits, &["owner adopted, blocking"]),
    (Mutant::ReleaseLooksLater, &["n1 bell, blocking", "n1 bell, mixed"]),
];
