//! Busy waiting for the other process, never without end and never for the dead.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};

use crate::error::{BenchError, Result, io};

/// Looks so often before it looks at the clock.
pub(crate) const LOOKS: u32 = 1 << 12;

/// Looks so long before it lets somebody else have the processor and sees whether the other side is still
/// there. Time, not a number of looks: they are cheap in one transport and dear in another, and who has to
/// wait longest would give up the processor most often.
pub(crate) const STAY: Duration = Duration::from_millis(10);

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Who has to live for a wait to make sense.
#[derive(Debug)]
pub(crate) enum Partner<'a> {
    /// The second process.
    Child(&'a mut Child),
    /// The first one.
    Parent(Pid),
}

impl Partner<'_> {
    /// `Err` if it is gone.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Self::Child(child) => match child.try_wait().map_err(io("look after the child"))? {
                None => Ok(()),
                Some(status) => Err(BenchError::ChildGone(status.to_string())),
            },
            Self::Parent(parent) if getppid() == Some(*parent) => Ok(()),
            Self::Parent(_) => Err(BenchError::Protocol("the first process is gone".to_owned())),
        }
    }
}

/// Looks without a pause until `ready` finds something.
#[inline(always)]
pub(crate) fn spin_for<R>(
    what: &'static str,
    partner: &mut Partner<'_>,
    mut ready: impl FnMut() -> Result<Option<R>>,
) -> Result<R> {
    let mut since = None;
    loop {
        for _ in 0..LOOKS {
            if let Some(found) = ready()? {
                return Ok(found);
            }
        }
        pause(what, partner, &mut since)?;
    }
}

/// Looks without a pause until `ready` says so.
#[inline(always)]
pub(crate) fn spin_until(
    what: &'static str,
    partner: &mut Partner<'_>,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    spin_for(what, partner, || Ok(ready()?.then_some(())))
}

#[cold]
fn pause(what: &'static str, partner: &mut Partner<'_>, since: &mut Option<Instant>) -> Result<()> {
    let waited = since.get_or_insert_with(Instant::now).elapsed();
    if waited < STAY {
        return Ok(());
    }
    std::thread::yield_now();
    partner.check()?;
    if waited > LIMIT {
        return Err(BenchError::Stuck { what, limit: LIMIT });
    }
    Ok(())
}
