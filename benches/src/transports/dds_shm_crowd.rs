//! dds-shm, a sleeper in a process with a thousand readers: it waits for one of them, or in one `WaitSet`
//! for all (`ALL`).

use std::mem::forget;
use std::time::Duration;

use dds_shm::slots::{SlotReader, Waitable};
use dds_shm::{SlotError, WaitSet};

use super::dds_shm_slots::{Slots, SlotsSender};
use crate::error::{Result, failed};
use crate::figures::Figure;
use crate::transport::{Absence, Place, Plan, Receiver, Sender as _, Transport};

/// Segments that a receiver is attached to.
const SEGMENTS: usize = 1_000;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Crowd<const ALL: bool> {
    slots: Slots,
}

impl<const ALL: bool> Transport for Crowd<ALL> {
    type Sender = SlotsSender;
    type Receiver = CrowdReceiver<ALL>;

    fn start(place: &Place) -> Result<Self> {
        Ok(Self { slots: Slots::start(place)? })
    }

    fn absence(figure: Figure) -> Option<Absence> {
        (figure != Figure::Wake).then_some(Absence::NoRow)
    }

    fn sender(&self, plan: &Plan) -> Result<SlotsSender> {
        self.slots.sender(plan)
    }

    fn receiver(&self, plan: &Plan, address: &str, index: u32) -> Result<CrowdReceiver<ALL>> {
        let mut readers = vec![self.slots.receiver(plan, address, index)?.into_reader()];
        let mut silent = Vec::new();
        for number in 1..SEGMENTS {
            let name = format!("{} {number}", plan.name);
            let plan = Plan { name, ..plan.clone() };
            let sender = self.slots.sender(&plan)?;
            readers.push(self.slots.receiver(&plan, &sender.address()?, 0)?.into_reader());
            silent.push(sender);
        }
        Ok(CrowdReceiver { set: None, readers: readers.into(), _silent: silent })
    }
}

/// The reader that gets something, and those of writers in its own process that never send.
#[derive(Debug)]
pub(crate) struct CrowdReceiver<const ALL: bool> {
    /// Of `readers`, which it must not outlive: dropped first.
    set: Option<WaitSet<'static>>,
    /// The first of them gets something.
    readers: Box<[SlotReader]>,
    _silent: Vec<SlotsSender>,
}

impl<const ALL: bool> CrowdReceiver<ALL> {
    /// A set of all readers.
    fn gather(&self) -> Result<WaitSet<'static>> {
        let Some(node) = self.readers[0].node() else {
            return Err(failed("gathering readers")(SlotError::AnotherNode));
        };
        let mut set = WaitSet::new(node);
        for reader in &self.readers[1..] {
            // One that is admitted and has not looked is ready until it has.
            reader.take().map_err(failed("taking with dds-shm"))?;
        }
        for reader in &self.readers {
            // SAFETY: the readers are in a box of their own that is never changed, and `set` is
            // dropped before it.
            let reader: &'static SlotReader = unsafe { &*std::ptr::from_ref(reader) };
            set.attach(reader).map_err(failed("attaching to a WaitSet"))?;
        }
        Ok(set)
    }
}

impl<const ALL: bool> Receiver for CrowdReceiver<ALL> {
    fn is_ready(&mut self) -> Result<bool> {
        Ok(self.readers.iter().all(SlotReader::is_admitted))
    }

    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let sample = self.readers[0].take().map_err(failed("taking with dds-shm"))?;
        Ok(sample.map(|sample| read(sample.bytes())))
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        if !ALL {
            self.readers[0].wait(at_most);
            return Ok(());
        }
        if self.set.is_none() {
            self.set = Some(self.gather()?);
        }
        if let Some(set) = &self.set {
            set.wait(at_most).map_err(failed("waiting for a thousand readers"))?;
        }
        Ok(())
    }

    fn hoard(&mut self) -> Result<usize> {
        let mut held = 0;
        while let Ok(Some(sample)) = self.readers[0].take() {
            forget(sample);
            held += 1;
        }
        Ok(held)
    }
}
