//! The registry's part in a sweep.

use super::super::registry_store::RegistryStore;
use crate::liveness::janitor::{Finding, FoundKind, Sweeper, Verdict};
use crate::liveness::{NodeId, RuntimeDir};

/// Sweeps the registry for the janitor of a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistrySweeper;

impl Sweeper for RegistrySweeper {
    fn sweep(
        &self,
        dir: &RuntimeDir,
        is_gone: &dyn Fn(NodeId) -> bool,
        remove: bool,
    ) -> Vec<Finding> {
        let swept =
            RegistryStore::open(&dir.registry()).and_then(|store| store.sweep(is_gone, remove));
        let leftovers = swept.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot sweep the registry");
            Vec::new()
        });
        leftovers
            .into_iter()
            .map(|leftover| Finding {
                kind: FoundKind::Registry,
                path: leftover.path,
                node: leftover.node,
                bytes: 0,
                verdict: match leftover.error {
                    _ if !remove => Verdict::Removable,
                    Some(error) => Verdict::Failed(error),
                    None => Verdict::Removed,
                },
            })
            .collect()
    }
}
