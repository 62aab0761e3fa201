//! What happened to an endpoint: told on stderr as it happens, and kept for the result.

use dds_shm::transport::{Mismatch, NetworkReason, TransportEvent, TransportEvents};
use dds_shm::wire::Guid;
use serde::Serialize;

/// Events kept for the result; of more, the first ones are, which tell how it began.
const MOST_KEPT: usize = 1000;

/// An event, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) event: &'static str,
    /// The other endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl Told {
    fn of(event: &TransportEvent) -> Self {
        let told = |event, remote: Option<&Guid>, detail| Self {
            event,
            remote: remote.map(Guid::to_string),
            detail,
        };
        let none = String::new();
        match event {
            TransportEvent::Matched { remote, .. } => told("matched", Some(remote), none),
            TransportEvent::Unmatched { remote, .. } => told("unmatched", Some(remote), none),
            TransportEvent::Mismatch { remote, reason, .. } => {
                told("mismatch", Some(remote), reason.to_string())
            }
            TransportEvent::ReaderAttached { reader, start_sn, .. } => {
                told("reader_attached", Some(reader), from(*start_sn))
            }
            TransportEvent::ReaderReturned { reader, start_sn, .. } => {
                told("reader_returned", Some(reader), from(*start_sn))
            }
            TransportEvent::ReaderLost { reader, why, resend_from, .. } => {
                let detail = format!("{why:?}, had everything below {resend_from}");
                told("reader_lost", Some(reader), detail)
            }
            TransportEvent::ReaderRefused { reader, uid, .. } => {
                let detail = format!(
                    "the process of uid {uid} cannot be watched; \
                     give both the same runtime dir, or the default one"
                );
                told("reader_refused", Some(reader), detail)
            }
            TransportEvent::SegmentReplaced { locator, .. } => {
                let detail = format!("a reader pinned the old one; now {}", locator.path.as_str());
                told("segment_replaced", None, detail)
            }
            TransportEvent::WriterAttached { writer, start_sn, .. } => {
                told("writer_attached", Some(writer), from(*start_sn))
            }
            TransportEvent::WriterLost { writer, reason, .. } => {
                told("writer_lost", Some(writer), reason.to_string())
            }
            TransportEvent::SamplesLost { writer, lost, replaced, .. } => {
                let detail = format!("{lost} lost, {replaced} replaced by newer ones");
                told("samples_lost", Some(writer), detail)
            }
            TransportEvent::FormerIncarnation { writer, owner_epoch, .. } => {
                let detail = format!("samples that owner {owner_epoch} of the segment wrote");
                told("former_incarnation", Some(writer), detail)
            }
            TransportEvent::Unreachable { remote, reason, .. } => {
                told("unreachable", Some(remote), reason.to_string())
            }
            TransportEvent::Unreadable { writer, sn, .. } => {
                told("unreadable", Some(writer), format!("sample {sn}"))
            }
            TransportEvent::EventsDropped(count) => {
                told("events_dropped", None, format!("{count} events came too fast to be told"))
            }
            other => told("other", None, format!("{other:?}")),
        }
    }

    fn line(&self) -> String {
        let name = self.event.replace('_', " ");
        let remote = self.remote.iter().map(|remote| format!(" {remote}"));
        let detail = Some(&self.detail).filter(|detail| !detail.is_empty());
        let detail = detail.map(|detail| format!(": {detail}"));
        [name].into_iter().chain(remote).chain(detail).collect()
    }
}

fn from(start_sn: i64) -> String {
    format!("from sample {start_sn}")
}

/// The events of one endpoint since it was made.
#[derive(Debug)]
pub(crate) struct Diary {
    events: TransportEvents,
    kept: Vec<Told>,
    met_other_layout: bool,
}

impl Diary {
    pub(crate) fn new(events: TransportEvents) -> Self {
        Self { events, kept: Vec::new(), met_other_layout: false }
    }

    /// Tells what has happened since the last time; whether anything has.
    pub(crate) fn tell(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.events.try_next() {
            any = true;
            self.met_other_layout |= is_of_layout(&event);
            let told = Told::of(&event);
            eprintln!("{}", told.line());
            if self.kept.len() < MOST_KEPT {
                self.kept.push(told);
            }
        }
        any
    }

    /// Whether there was an endpoint of the topic whose samples are laid out differently.
    pub(crate) fn met_other_layout(&self) -> bool {
        self.met_other_layout
    }

    pub(crate) fn into_kept(mut self) -> Vec<Told> {
        self.tell();
        self.kept
    }
}

fn is_of_layout(event: &TransportEvent) -> bool {
    match event {
        TransportEvent::Mismatch { reason: Mismatch::TypeHash(_), .. } => true,
        TransportEvent::Unreachable { reason, .. } => {
            matches!(reason, NetworkReason::Mismatch(Mismatch::TypeHash(_)))
        }
        _ => false,
    }
}
