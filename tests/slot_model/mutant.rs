//! Seeded bugs: the protocol with one clause broken. Each must be caught, or the model proves
//! nothing.

use dds_shm::slots::{CLAIM, EntryStatus, OwnerCheck, SlotWord};

/// Who performs an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Owner,
    Reader,
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Store,
    Swap,
    Add,
    Or,
    And,
    Exchange,
}

/// Accesses by who makes them, in which operation ("" for any), and to which words.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    who: Who,
    during: &'static str,
    kind: Kind,
    word: fn(SlotWord) -> bool,
}

impl Site {
    pub(crate) fn is(&self, who: Who, during: &str, kind: Kind, word: SlotWord) -> bool {
        self.who == who
            && (self.during.is_empty() || self.during == during)
            && self.kind == kind
            && (self.word)(word)
    }
}

/// How a mutant bends the accesses of the protocol's code.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// Not at all.
    None,
    /// A load is answered with something else.
    Answer(Site, fn(u64) -> u64),
    /// A store of such a value is left out (any other access: always).
    Drop(Site, fn(u64) -> bool),
    /// A store stores something else.
    Write(Site, fn(u64) -> u64),
    /// A second load of the same word in one operation is answered with the first one's value.
    Stale(Site),
    /// All hold words are loaded before this access, and not where they should be.
    Early { holds_before: Site },
    /// One access is made only after the other.
    Late { what: Site, after: Site },
    /// A sample that is not where the directory says is gone.
    NoScan,
    /// The look after the hazard finds what the look before it found.
    OneLook,
    /// Claiming an entry is a load and a store.
    BlindClaim,
}

/// A seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    None,
    OwnerIgnoresHazards,
    OwnerLooksAtHoldsOnlyBeforeTheClaim,
    OwnerLooksAtHoldsBeforeCursors,
    OwnerClaimsWithZero,
    OwnerForgetsToPutBack,
    OwnerPublishesHeadBeforeSeq,
    OwnerTakesCursorsForPassed,
    OwnerKeepsTheMinimumAtAdmission,
    OwnerIgnoresHolds,
    OwnerClaimsNothing,
    OwnerClaimsAfterItsLook,
    OwnerLooksAtHoldsBeforeHazards,
    OwnerKeepsTheNumberOfWhatItOverwrites,
    OwnerPublishesBeforeItHasWritten,
    OwnerWaitsForNobody,
    OwnerWaitsForTheDisconnected,
    OwnerWaitsForBestEffort,
    OwnerTakesTheDisconnectedForDead,
    OwnerTakesWhatIsOnLoan,
    OwnerTakesItsHistory,
    AheadIgnoresHolds,
    AheadTakesWhatIsWanted,
    AheadTakesWhatIsOnLoan,
    AheadTakesTheHistory,
    CommitMovesNoHead,
    DropTakesNoNumber,
    ExpiryFreesTheEntry,
    ExpiryIsNotSaid,
    VacateLeavesHolds,
    VacateFreesBeforeItClears,
    VacateForgetsTheRequestFirst,
    NobodyClearsTheHazard,
    RefusalIsNotSaid,
    ReturnIsNotSaid,
    AdoptionForgetsTheHead,
    AdoptionStoresNoHead,
    AdoptionLeavesClaims,
    AdoptionForgetsTheHistory,
    AdmissionLeavesTheCursor,
    AdmissionStateBeforeStart,
    ReaderSetsNoHazard,
    ReaderIgnoresTheHead,
    ReaderIgnoresItsState,
    ReaderIgnoresWhereItJoined,
    ReaderLooksOnce,
    ReaderWaitsForTheDead,
    TakeLeavesItsHazard,
    FailedTakeOwesNothing,
    CopyLooksOnce,
    KeepSetsNoBit,
    KeepMovesCursorBeforeHold,
    KeepLowersHazardBeforeHold,
    ReleaseForgetsCursor,
    ReleaseForgetsHold,
    ReleaseLeavesItsHazard,
    GapByDirectoryAlone,
    GapUnderClaim,
    EntryClaimedBlindly,
    ReaderNeverLooksAtTheBell,
    OwnerSleepsWithoutALook,
    OwnerAnnouncesNothing,
    WakerTakesNoFlag,
    WakerForgetsTheGeneration,
    /// Breaks nothing: the application is done with the sample.
    ReleaseLowersHazardBeforeCursor,
    /// Breaks nothing: the directory only saves a scan.
    OwnerForgetsTheDirectory,
    /// Breaks nothing: the hold bit is there.
    KeepLowersHazardBeforeCursor,
    /// Breaks nothing: what went by is in no slot, and the next release moves the cursor.
    GapLeavesTheCursor,
    /// Breaks nothing: a cursor that is too low is put right by the next release.
    AdmissionStateBeforeCursor,
    /// Breaks nothing: the entry was freed without one.
    AdmissionLeavesTheHazard,
    /// Breaks nothing: admission lowers it.
    VacateLeavesTheHazard,
    /// Breaks nothing: it was the minimum of this reader's cursor too.
    OwnerKeepsTheMinimumAtReturn,
    /// Breaks nothing: an entry is free after its bits are cleared.
    AdoptionLeavesStrayBits,
    /// Breaks nothing: the look behind the next fence counts.
    ReleaseLooksLater,
}

const fn owner(during: &'static str, kind: Kind, word: fn(SlotWord) -> bool) -> Site {
    Site { who: Who::Owner, during, kind, word }
}

const fn reader(during: &'static str, kind: Kind, word: fn(SlotWord) -> bool) -> Site {
    Site { who: Who::Reader, during, kind, word }
}

fn is_seq(word: SlotWord) -> bool {
    matches!(word, SlotWord::Seq(_))
}

fn is_hold(word: SlotWord) -> bool {
    matches!(word, SlotWord::Hold(_))
}

fn is_cursor(word: SlotWord) -> bool {
    matches!(word, SlotWord::Cursor(_))
}

fn is_reading(word: SlotWord) -> bool {
    matches!(word, SlotWord::Reading(_))
}

fn is_head(word: SlotWord) -> bool {
    word == SlotWord::Head
}

fn is_state(word: SlotWord) -> bool {
    matches!(word, SlotWord::State(_))
}

fn is_waiters(word: SlotWord) -> bool {
    word == SlotWord::SpaceWaiters
}

impl Mutant {
    /// The check that the owner does without in an operation.
    pub(crate) fn check(self, during: &str) -> Option<OwnerCheck> {
        let (operation, check) = match self {
            Self::OwnerTakesWhatIsOnLoan => ("reserve", OwnerCheck::Loaned),
            Self::OwnerTakesItsHistory => ("reserve", OwnerCheck::Kept),
            Self::OwnerWaitsForTheDisconnected => ("reserve", OwnerCheck::Connected),
            Self::OwnerWaitsForBestEffort => ("reserve", OwnerCheck::Blocking),
            Self::OwnerTakesTheDisconnectedForDead => ("reserve", OwnerCheck::Alive),
            Self::AheadTakesWhatIsOnLoan => ("ahead", OwnerCheck::Loaned),
            Self::AheadTakesTheHistory => ("ahead", OwnerCheck::Kept),
            Self::AheadTakesWhatIsWanted => ("ahead", OwnerCheck::Passed),
            Self::OwnerKeepsTheMinimumAtAdmission => ("admit", OwnerCheck::StillPassed),
            Self::OwnerKeepsTheMinimumAtReturn => ("readmit", OwnerCheck::StillPassed),
            _ => return None,
        };
        (operation == during).then_some(check)
    }

    pub(crate) fn rule(self) -> Rule {
        use Kind::{Add, And, Load, Or, Store, Swap};
        match self {
            // The owner and the readers themselves do these.
            Self::None
            | Self::ExpiryFreesTheEntry
            | Self::OwnerSleepsWithoutALook
            | Self::OwnerPublishesBeforeItHasWritten
            | Self::OwnerWaitsForNobody
            | Self::AdoptionForgetsTheHistory
            | Self::FailedTakeOwesNothing
            | Self::ReaderWaitsForTheDead => Rule::None,
            // [`Self::check`] has these.
            Self::OwnerKeepsTheMinimumAtAdmission
            | Self::OwnerKeepsTheMinimumAtReturn
            | Self::OwnerWaitsForTheDisconnected
            | Self::OwnerWaitsForBestEffort
            | Self::OwnerTakesTheDisconnectedForDead
            | Self::OwnerTakesWhatIsOnLoan
            | Self::OwnerTakesItsHistory
            | Self::AheadTakesWhatIsWanted
            | Self::AheadTakesWhatIsOnLoan
            | Self::AheadTakesTheHistory => Rule::None,
            Self::OwnerClaimsNothing => {
                Rule::Drop(owner("reserve", Store, is_seq), |seq| seq & CLAIM != 0)
            }
            Self::OwnerClaimsAfterItsLook => Rule::Late {
                what: owner("reserve", Store, is_seq),
                after: owner("reserve", Load, is_reading),
            },
            Self::OwnerLooksAtHoldsBeforeHazards => {
                Rule::Early { holds_before: owner("reserve", Load, is_reading) }
            }
            Self::OwnerKeepsTheNumberOfWhatItOverwrites => {
                Rule::Drop(owner("reserve", Store, is_seq), |seq| seq == 0)
            }
            Self::AheadIgnoresHolds => Rule::Answer(owner("ahead", Load, is_hold), |_| 0),
            Self::NobodyClearsTheHazard => Rule::Drop(owner("", Store, is_reading), |_| true),
            Self::AdmissionLeavesTheHazard => {
                Rule::Drop(owner("serve", Store, is_reading), |_| true)
            }
            Self::VacateLeavesTheHazard => Rule::Drop(owner("bury", Store, is_reading), |_| true),
            Self::RefusalIsNotSaid => Rule::Drop(owner("serve", Store, is_state), |state| {
                state & 0xff == EntryStatus::Refused as u64
            }),
            // Its admission was said under epoch 1.
            Self::ReturnIsNotSaid => {
                Rule::Drop(owner("serve", Store, is_state), |state| state >> 8 > 1)
            }
            Self::AdoptionStoresNoHead => Rule::Drop(owner("adopt", Store, is_head), |_| true),
            Self::AdmissionLeavesTheCursor => {
                Rule::Drop(owner("serve", Store, is_cursor), |_| true)
            }
            Self::AdmissionStateBeforeCursor => Rule::Late {
                what: owner("serve", Store, is_cursor),
                after: owner("serve", Store, is_state),
            },
            Self::TakeLeavesItsHazard => {
                Rule::Drop(reader("take", Store, is_reading), |seq| seq == 0)
            }
            Self::KeepSetsNoBit => Rule::Drop(reader("take", Or, is_hold), |_| true),
            Self::KeepLowersHazardBeforeCursor => Rule::Late {
                what: reader("take", Store, is_cursor),
                after: reader("take", Store, is_reading),
            },
            Self::GapLeavesTheCursor => Rule::Drop(reader("take", Store, is_cursor), |_| true),
            Self::ReleaseLeavesItsHazard => {
                Rule::Drop(reader("release", Store, is_reading), |_| true)
            }
            Self::OwnerAnnouncesNothing => Rule::Drop(owner("", Store, is_waiters), |_| true),
            Self::WakerTakesNoFlag => Rule::Drop(reader("", Swap, is_waiters), |_| true),
            Self::OwnerIgnoresHazards => Rule::Answer(owner("reserve", Load, is_reading), |_| 0),
            Self::OwnerLooksAtHoldsOnlyBeforeTheClaim => {
                Rule::Stale(owner("reserve", Load, is_hold))
            }
            Self::OwnerLooksAtHoldsBeforeCursors => {
                Rule::Early { holds_before: owner("reserve", Load, is_cursor) }
            }
            Self::OwnerClaimsWithZero => {
                Rule::Write(
                    owner("reserve", Store, is_seq),
                    |seq| {
                        if seq & CLAIM != 0 { 0 } else { seq }
                    },
                )
            }
            Self::OwnerForgetsToPutBack => {
                Rule::Drop(owner("reserve", Store, is_seq), |seq| seq != 0 && seq & CLAIM == 0)
            }
            Self::OwnerPublishesHeadBeforeSeq => Rule::Late {
                what: owner("publish", Store, is_seq),
                after: owner("publish", Store, is_head),
            },
            Self::OwnerTakesCursorsForPassed => {
                Rule::Answer(owner("reserve", Load, is_cursor), |cursor| cursor + 1)
            }
            Self::OwnerIgnoresHolds => Rule::Answer(owner("reserve", Load, is_hold), |_| 0),
            Self::CommitMovesNoHead => Rule::Drop(owner("publish", Store, is_head), |_| true),
            Self::ExpiryIsNotSaid => Rule::Drop(owner("expire", Store, is_state), |_| true),
            Self::AdoptionLeavesStrayBits => Rule::Drop(owner("adopt", And, is_hold), |_| true),
            Self::ReaderIgnoresTheHead => {
                Rule::Answer(reader("take", Load, is_head), |head| head + 1)
            }
            Self::ReaderIgnoresItsState => Rule::Answer(reader("take", Load, is_state), |state| {
                let [admitted, disconnected] = [EntryStatus::Admitted, EntryStatus::Disconnected];
                if state & 0xff == disconnected as u64 {
                    state & !0xff | admitted as u64
                } else {
                    state
                }
            }),
            Self::ReaderIgnoresWhereItJoined => {
                let is_join_head = |word| matches!(word, SlotWord::JoinHead(_));
                Rule::Answer(reader("enter", Load, is_join_head), |_| 0)
            }
            Self::ReleaseLooksLater => Rule::Answer(reader("release", Load, is_waiters), |_| 0),
            Self::DropTakesNoNumber => Rule::Drop(owner("drop", Store, is_head), |_| true),
            Self::VacateLeavesHolds => Rule::Drop(owner("", And, is_hold), |_| true),
            Self::VacateFreesBeforeItClears => Rule::Late {
                what: owner("", Store, |word| matches!(word, SlotWord::Request(_))),
                after: owner("", Store, |word| matches!(word, SlotWord::Node(_))),
            },
            Self::VacateForgetsTheRequestFirst => Rule::Late {
                what: owner("serve", Store, |word| matches!(word, SlotWord::State(_))),
                after: owner("serve", Store, |word| matches!(word, SlotWord::Request(_))),
            },
            Self::AdoptionForgetsTheHead => {
                Rule::Answer(owner("adopt", Load, is_head), |head| head.saturating_sub(1))
            }
            Self::AdoptionLeavesClaims => Rule::Drop(owner("adopt", Store, is_seq), |_| true),
            Self::AdmissionStateBeforeStart => Rule::Late {
                what: owner("", Store, |word| matches!(word, SlotWord::Start(_))),
                after: owner("", Store, |word| matches!(word, SlotWord::State(_))),
            },
            Self::ReaderSetsNoHazard => {
                Rule::Drop(reader("take", Store, is_reading), |seq| seq != 0)
            }
            Self::CopyLooksOnce => Rule::Stale(reader("copy", Load, is_seq)),
            Self::ReaderLooksOnce => Rule::OneLook,
            Self::KeepMovesCursorBeforeHold => Rule::Late {
                what: reader("take", Or, is_hold),
                after: reader("take", Store, is_cursor),
            },
            Self::KeepLowersHazardBeforeHold => Rule::Late {
                what: reader("take", Or, is_hold),
                after: reader("take", Store, is_reading),
            },
            Self::ReleaseLowersHazardBeforeCursor => Rule::Late {
                what: reader("release", Store, is_cursor),
                after: reader("release", Store, is_reading),
            },
            Self::OwnerForgetsTheDirectory => {
                let is_dir = |word| matches!(word, SlotWord::Dir(_));
                Rule::Drop(owner("publish", Store, is_dir), |_| true)
            }
            Self::ReleaseForgetsCursor => Rule::Drop(reader("release", Store, is_cursor), |_| true),
            Self::ReleaseForgetsHold => Rule::Drop(reader("release", And, is_hold), |_| true),
            Self::GapByDirectoryAlone => Rule::NoScan,
            Self::GapUnderClaim => {
                Rule::Answer(
                    reader("take", Load, is_seq),
                    |seq| {
                        if seq & CLAIM != 0 { 0 } else { seq }
                    },
                )
            }
            Self::EntryClaimedBlindly => Rule::BlindClaim,
            Self::ReaderNeverLooksAtTheBell => Rule::Answer(reader("", Load, is_waiters), |_| 0),
            Self::WakerForgetsTheGeneration => {
                Rule::Drop(reader("", Add, |word| word == SlotWord::SpaceGeneration), |_| true)
            }
        }
    }
}
