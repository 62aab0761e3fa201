//! `ls`: nodes, segments and readers of this host.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Args;
use dds_shm::liveness::inspect::{self, NodeState, NodeView};
use dds_shm::liveness::names::{OBJECT_PREFIX, ObjectKind};
use dds_shm::liveness::{NodeId, RuntimeDir, SegmentName};
use dds_shm::shm::object;
use dds_shm::slots::{self, EntryStatus, OwnerState, ReaderView, SegmentFlags, SegmentView};
use dds_shm::wire::Guid;
use serde::Serialize;

use super::CliError;
use super::output::{print_json, table};
use super::quantity::grouped;

#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Listing {
    runtime_dir: String,
    nodes: Vec<NodeLine>,
    segments: Vec<SegmentLine>,
    /// Objects that look like segments and cannot be read, and why.
    unreadable: Vec<Unreadable>,
}

#[derive(Debug, Serialize)]
struct NodeLine {
    node: String,
    state: &'static str,
    pid: Option<u32>,
    uid: Option<u32>,
    runtime_dir: Option<String>,
}

#[derive(Debug, Serialize)]
struct SegmentLine {
    segment: String,
    topic: String,
    #[serde(rename = "type")]
    type_name: String,
    type_hash: String,
    layout: String,
    writer: String,
    /// The owner's node, and whether it is alive.
    owner: Option<String>,
    owner_state: &'static str,
    pid: Option<u32>,
    uid: u32,
    /// What the owner says of the segment.
    state: &'static str,
    owner_epoch: u32,
    reliable: bool,
    keep_last: bool,
    transient_local: bool,
    slots: u32,
    slot_size: u32,
    octets: u64,
    head: u64,
    readers: Vec<ReaderLine>,
}

#[derive(Debug, Serialize)]
struct ReaderLine {
    reader: String,
    node: String,
    node_state: &'static str,
    pid: Option<u32>,
    uid: u32,
    status: &'static str,
    reliable: bool,
    /// Samples it is not done with, and how many of them it keeps.
    lag: u64,
    held: u32,
    /// How it is woken: the writer rings, or it polls because its bell may not be rung.
    wakes: &'static str,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    object: String,
    why: String,
}

/// Runs `ls`.
pub(crate) fn run(args: &LsArgs) -> Result<ExitCode, CliError> {
    let listing = Census::new(RuntimeDir::of_process()?).take()?;
    if args.json {
        print_json(&listing)?;
    } else {
        listing.show();
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at each node once.
struct Census {
    dir: RuntimeDir,
    nodes: HashMap<NodeId, NodeView>,
}

impl Census {
    fn new(dir: RuntimeDir) -> Self {
        Self { dir, nodes: HashMap::new() }
    }

    fn take(mut self) -> Result<Listing, CliError> {
        let nodes = inspect::list(&self.dir)?;
        self.nodes.extend(nodes.iter().map(|node| (node.id, node.clone())));
        let (mut segments, mut unreadable) = (Vec::new(), Vec::new());
        for object in object::list(OBJECT_PREFIX)? {
            match ObjectKind::of(&object) {
                Some(ObjectKind::Data(name)) => match slots::inspect(&name) {
                    Ok(view) => segments.push(self.segment(&name, view)),
                    Err(error) => unreadable
                        .push(Unreadable { object: object.to_string(), why: error.to_string() }),
                },
                // A ZDS2 segment has no table of readers to show.
                Some(
                    ObjectKind::Bell(_)
                    | ObjectKind::Control(_)
                    | ObjectKind::Outsize(_)
                    | ObjectKind::Zds2(_),
                ) => {}
                None => unreadable.push(Unreadable {
                    object: object.to_string(),
                    why: "its name is not one that dds-shm gives".to_owned(),
                }),
            }
        }
        Ok(Listing {
            runtime_dir: self.dir.path().display().to_string(),
            nodes: nodes.iter().map(NodeLine::of).collect(),
            segments,
            unreadable,
        })
    }

    fn node(&mut self, id: NodeId) -> &NodeView {
        self.nodes.entry(id).or_insert_with(|| inspect::inspect(&self.dir, id))
    }

    fn segment(&mut self, name: &SegmentName, view: SegmentView) -> SegmentLine {
        let owner = view.owner.map(|id| self.node(id).clone());
        let readers = view.readers.iter().map(|reader| self.reader(reader)).collect();
        let identity = view.identity;
        SegmentLine {
            segment: name.to_string(),
            topic: identity.topic,
            type_name: identity.type_name,
            type_hash: identity.type_hash.to_string(),
            layout: identity.layout,
            writer: Guid::from_bytes(view.writer_guid).to_string(),
            owner_state: owner.as_ref().map_or("unclear", |owner| state_name(owner.state)),
            pid: owner.as_ref().and_then(|owner| owner.pid),
            owner: owner.map(|owner| owner.id.to_string()),
            uid: view.uid,
            state: match view.state {
                Some(OwnerState::Starting) => "starting",
                Some(OwnerState::Alive) => "open",
                Some(OwnerState::Closed) => "closed",
                Some(OwnerState::Replaced) => "replaced",
                None => "damaged",
            },
            owner_epoch: view.owner_epoch,
            reliable: identity.flags.has(SegmentFlags::RELIABLE),
            keep_last: identity.flags.has(SegmentFlags::KEEP_LAST),
            transient_local: identity.flags.has(SegmentFlags::TRANSIENT_LOCAL),
            slots: identity.geometry.slot_count,
            slot_size: identity.geometry.slot_capacity,
            octets: view.octets,
            head: view.head,
            readers,
        }
    }

    fn reader(&mut self, view: &ReaderView) -> ReaderLine {
        let node = self.node(view.node);
        ReaderLine {
            reader: Guid::from_bytes(view.entry.guid).to_string(),
            node: node.id.to_string(),
            node_state: state_name(node.state),
            pid: node.pid,
            uid: view.entry.uid,
            status: match view.status {
                Some(EntryStatus::Vacant) => "joining",
                Some(EntryStatus::Admitted) => "served",
                Some(EntryStatus::Disconnected) => "disconnected",
                Some(EntryStatus::Refused) => "refused",
                None => "damaged",
            },
            reliable: view.entry.reliable,
            lag: view.lag,
            held: view.held,
            wakes: if view.rings { "bell" } else { "polls" },
        }
    }
}

impl NodeLine {
    fn of(node: &NodeView) -> Self {
        Self {
            node: node.id.to_string(),
            state: state_name(node.state),
            pid: node.pid,
            uid: node.uid,
            runtime_dir: node.dir.as_ref().map(|dir| dir.display().to_string()),
        }
    }
}

fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Alive => "alive",
        NodeState::Dead => "dead",
        NodeState::NoTrace => "gone",
        NodeState::Unclear => "unclear",
    }
}

impl Listing {
    fn show(&self) {
        let number = |number: Option<u32>| number.map_or("?".to_owned(), |n| n.to_string());
        let mut rows = vec![row(["node", "state", "pid", "uid", "runtime dir"])];
        for node in &self.nodes {
            let dir = node.runtime_dir.as_deref().unwrap_or("?");
            let (pid, uid) = (number(node.pid), number(node.uid));
            rows.push(row([&node.node, node.state, &pid, &uid, dir]));
        }
        eprintln!("{}", table(&rows));
        for segment in &self.segments {
            eprintln!(
                "{} {:?} ({}): {}, owner {} (pid {}, uid {}), {} slots of {} B, {} KiB, head {}",
                segment.segment,
                segment.topic,
                segment.type_name,
                segment.state,
                segment.owner_state,
                number(segment.pid),
                segment.uid,
                segment.slots,
                segment.slot_size,
                grouped(segment.octets.div_ceil(1024)),
                grouped(segment.head),
            );
            for reader in &segment.readers {
                eprintln!(
                    "  reader {}: {}, node {} (pid {}, uid {}), {} behind, {} held, {}",
                    reader.reader,
                    reader.status,
                    reader.node_state,
                    number(reader.pid),
                    reader.uid,
                    grouped(reader.lag),
                    reader.held,
                    match reader.wakes {
                        "bell" => "woken by the writer",
                        _ => "polls: the writer may not ring its bell",
                    },
                );
            }
        }
        for Unreadable { object, why } in &self.unreadable {
            eprintln!("{object}: {why}");
        }
        let dead = self.nodes.iter().filter(|node| node.state == "dead").count();
        if dead > 0 {
            eprintln!("{dead} nodes are dead: `dds-shm gc` tells what they left");
        }
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
