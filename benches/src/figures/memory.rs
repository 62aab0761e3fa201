//! Shared memory of a channel with one reader: what is reserved, and what is present after all of it was
//! used.

use super::{Cell, Outcome};
use crate::error::{BenchError, Result};
use crate::mappings::{Mapping, added, shared_mappings};
use crate::messages::{Load, Order, Report};
use crate::pair::{Channel, Pair};

/// What both processes have mapped.
pub(super) fn mapped(pair: &mut Pair) -> Result<Vec<Mapping>> {
    pair.order(&Order::ListMappings)?;
    match pair.report()? {
        Report::Mappings(theirs) => Ok([shared_mappings()?, theirs].concat()),
        other => Err(BenchError::Protocol(format!("{other:?} to ListMappings"))),
    }
}

/// Octets. What belongs to the processes, however many channels they have, was there before.
pub(super) fn measure(
    pair: &mut Pair,
    channel: &mut Channel,
    cell: &Cell,
    before: &[Mapping],
) -> Result<Outcome> {
    let count = channel.plan.messages;
    let load = Load { size: cell.size, touched: cell.touched(), warm_up: 0, count };
    super::throughput::transfer(pair, channel, load)?;
    let (reserved, present) = added(before, &mapped(pair)?);
    Ok(Outcome { present: Some(present as f64), ..Outcome::of(reserved as f64) })
}
