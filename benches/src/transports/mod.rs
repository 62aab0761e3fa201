//! The transports under test, one per file.

mod bare;
mod dds_shm_crowd;
mod dds_shm_plugin;
mod dds_shm_slots;
mod iceoryx2;
mod llmp;
mod zerodds;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::ends::{Ends, Side};
use crate::error::Result;
use crate::figures::Figure;
use crate::transport::{Absence, Place, Transport};

/// One row of the tables.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// What the machine does at best: no protocol
    Bare,
    /// dds-shm, segments: SlotWriter and SlotReader
    DdsShm,
    /// dds-shm, the plugin as a DDS implementation uses it: ShmWriter and ShmReader
    DdsShmPlugin,
    /// dds-shm, a sleeping reader in a process with a thousand segments
    DdsShmCrowd,
    /// dds-shm, a process that sleeps for the first of a thousand segments, in one WaitSet
    DdsShmWaitSet,
    /// iceoryx2, publish-subscribe
    Iceoryx2,
    /// iceoryx2 with the next sample loaned right behind each send, as its own benchmark does; in
    /// Recovery: with a thread that cleans up after the dead
    Iceoryx2Helped,
    /// LLMP of LibAFL, without a broker
    Llmp,
    /// ZeroDDS flatdata, POSIX segments
    Zerodds,
}

impl Contender {
    /// All of them, in the order of the tables.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What the tables call it.
    pub(crate) fn title(self, figure: Figure) -> &'static str {
        match (self, figure) {
            (Self::Bare, Figure::Wake) => "floor: bare futex",
            (Self::Bare, Figure::LatencyTouched) => "floor: cache line + memcpy",
            (Self::Bare, Figure::Throughput) => "floor: memcpy alone",
            (Self::Bare, _) => "floor: cache line",
            (Self::DdsShm, _) => "dds-shm",
            (Self::DdsShmPlugin, _) => "dds-shm, plugin",
            (Self::DdsShmCrowd, _) => "dds-shm, 1,000 segments",
            (Self::DdsShmWaitSet, _) => "dds-shm, WaitSet of 1,000",
            (Self::Iceoryx2, _) => "iceoryx2",
            (Self::Iceoryx2Helped, Figure::Recovery) => "iceoryx2, own clean-up thread",
            (Self::Iceoryx2Helped, _) => "iceoryx2, loaned ahead",
            (Self::Llmp, _) => "LLMP",
            (Self::Zerodds, _) => "ZeroDDS flatdata",
        }
    }

    /// Why it has no part in a figure.
    pub(crate) fn absence(self, figure: Figure) -> Option<Absence> {
        match self {
            Self::Bare => bare::Bare::absence(figure),
            Self::DdsShm => dds_shm_slots::Slots::absence(figure),
            Self::DdsShmPlugin => dds_shm_plugin::Plugin::absence(figure),
            Self::DdsShmCrowd => dds_shm_crowd::Crowd::<false>::absence(figure),
            Self::DdsShmWaitSet => dds_shm_crowd::Crowd::<true>::absence(figure),
            Self::Iceoryx2 => iceoryx2::Iceoryx2::<false>::absence(figure),
            Self::Iceoryx2Helped => iceoryx2::Iceoryx2::<true>::absence(figure),
            Self::Llmp => llmp::Llmp::absence(figure),
            Self::Zerodds => zerodds::Zerodds::absence(figure),
        }
    }

    /// Starts it in this process.
    pub(crate) fn start(self, place: &Place) -> Result<Box<dyn Side>> {
        Ok(match self {
            Self::Bare => Box::new(Ends::<bare::Bare>::start(place)?),
            Self::DdsShm => Box::new(Ends::<dds_shm_slots::Slots>::start(place)?),
            Self::DdsShmPlugin => Box::new(Ends::<dds_shm_plugin::Plugin>::start(place)?),
            Self::DdsShmCrowd => Box::new(Ends::<dds_shm_crowd::Crowd<false>>::start(place)?),
            Self::DdsShmWaitSet => Box::new(Ends::<dds_shm_crowd::Crowd<true>>::start(place)?),
            Self::Iceoryx2 => Box::new(Ends::<iceoryx2::Iceoryx2<false>>::start(place)?),
            Self::Iceoryx2Helped => Box::new(Ends::<iceoryx2::Iceoryx2<true>>::start(place)?),
            Self::Llmp => Box::new(Ends::<llmp::Llmp>::start(place)?),
            Self::Zerodds => Box::new(Ends::<zerodds::Zerodds>::start(place)?),
        })
    }
}
