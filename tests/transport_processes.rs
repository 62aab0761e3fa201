//! Endpoints of several processes: killed, paused, restarted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use std::time::{Duration, Instant};

use dds_shm::discovery::{LossReason, Registry, RemoteEndpoint};
use dds_shm::transport::{
    EmbeddedParticipant, NetworkReason, Reachability, ReaderConfig, ReaderLoss, ShmTransport,
    ShmWriter, TransportEvent, WriterConfig,
};
use dds_shm::wire::{Duration as WireDuration, EndpointRole, Guid, GuidPrefix};
use dds_shm::{SampleInfo, SlotError};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use support::{Child, await_go, eventually, role, say, stay};
use transport_support::*;

const WRITER_HOST: u8 = 9;
const READER_HOST: u8 = 8;

/// What the children do.
#[test]
#[ignore = "run by the others"]
fn another_process() {
    let Some((role, argument, dir)) = role() else { return };
    match role.as_str() {
        // Publishes 1 to 5 once somebody is attached, and stays.
        "publish" | "publish durable" => {
            let host = host_in(&dir, WRITER_HOST);
            let writer = host.transport.create_writer(writer(&role)).unwrap();
            say(to_text(&host.describe(writer.guid())));
            assert_eq!(writer.wait_for_readers(1, LONG), 1);
            publish(&writer, 1..=5);
            say("published");
            stay();
        }
        // Attaches to the publication given, takes as many samples as it may, and keeps them.
        "hold" => {
            let host = host_in(&dir, READER_HOST);
            let reader = host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
            host.transport.publication_discovered(from_text(EndpointRole::Writer, &argument));
            let mut held = Vec::new();
            loop {
                match reader.take() {
                    Ok(sample) => held.extend(sample),
                    Err(SlotError::TooManyHeld { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            say("holding");
            stay();
        }
        // Attaches to the publication given; says what it reads, and what it lost, after each go.
        "subscribe" => {
            let host = host_in(&dir, READER_HOST);
            let reader = host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
            host.transport.publication_discovered(from_text(EndpointRole::Writer, &argument));
            loop {
                await_go();
                let numbers = next_numbers(&reader, 1);
                say(format!("{} {}", numbers[0], reader.losses().lost));
            }
        }
        other => panic!("no role {other:?}"),
    }
}

fn writer(role: &str) -> WriterConfig {
    let durable_name = (role == "publish durable").then(|| "the durable writer".to_owned());
    WriterConfig { durable_name, ..writer_of::<Count>(transient_local(3)) }
}

fn publish(writer: &ShmWriter, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
}

/// A process that publishes, and what it announces.
fn publisher(rig: &Rig, role: &str) -> (Child, RemoteEndpoint) {
    let child = rig.home.child(role, "");
    let publication = from_text(EndpointRole::Writer, &child.line());
    (child, publication)
}

fn expect_writer_lost(host: &Host, guid: Guid) {
    host.expect(|event| match event {
        TransportEvent::WriterLost { writer, reason: NetworkReason::WriterLost, .. } => {
            assert_eq!(*writer, guid);
            Some(())
        }
        _ => None,
    });
}

#[test]
fn a_killed_writer_is_told_to_who_does_not_read_and_its_samples_are_still_there() {
    let rig = Rig::new();
    let (mut child, publication) = publisher(&rig, "publish");
    let guid = publication.data.guid;
    let host = rig.host(1);
    let reader = host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    host.transport.publication_discovered(publication);
    child.expect("published");
    child.kill();
    expect_writer_lost(&host, guid);
    assert_eq!(reader.reachability(guid), Reachability::Network(NetworkReason::WriterLost));
    // Of KEEP_LAST 3 at least the last three.
    let read = numbers(&reader);
    assert!(read.ends_with(&[3, 4, 5]), "{read:?}");
    // Told once, also when its participant's lease expires.
    host.transport.participant_lost(guid.prefix, LossReason::LeaseExpired);
    assert!(numbers(&reader).is_empty());
    assert!(host.events.drain().all(|event| !matches!(event, TransportEvent::WriterLost { .. })));
}

#[test]
fn a_reader_that_is_killed_with_its_hands_full_blocks_nobody() {
    let rig = Rig::new();
    let host = rig.host(1);
    let mut qos = keep_all();
    qos.reliability.max_blocking_time = WireDuration::from_secs(20);
    let config = WriterConfig { slots: Some(4), max_held: 4, ..writer_of::<Count>(qos) };
    let writer = host.transport.create_writer(config).unwrap();
    let mut child = rig.home.child("hold", &to_text(&host.describe(writer.guid())));
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    publish(&writer, 1..=4);
    child.expect("holding");
    child.kill();
    let started = Instant::now();
    publish(&writer, 5..=100);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
    let reader = host.expect(|event| match event {
        TransportEvent::ReaderLost { reader, why: ReaderLoss::Died, .. } => Some(*reader),
        _ => None,
    });
    assert_eq!(writer.reachability(reader), Reachability::Network(NetworkReason::Unknown));
}

#[test]
fn a_paused_reader_is_left_behind_by_its_lease_and_returns() {
    let rig = Rig::new();
    let host = rig.host(1);
    let mut qos = keep_all();
    qos.reliability.max_blocking_time = WireDuration::from_secs(20);
    let config = WriterConfig { slots: Some(4), ..writer_of::<Count>(qos) };
    let writer = host.transport.create_writer(config).unwrap();
    let mut child = rig.home.child("subscribe", &to_text(&host.describe(writer.guid())));
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    let reader = writer.handle().attached_readers()[0];
    publish(&writer, 1..=4);
    child.go_on();
    child.expect("1 0");
    child.pause();
    host.transport.participant_lost(reader.prefix, LossReason::LeaseExpired);
    let resend_from = host.expect(|event| match event {
        TransportEvent::ReaderLost { why: ReaderLoss::Disconnected, resend_from, .. } => {
            Some(*resend_from)
        }
        _ => None,
    });
    assert_eq!(resend_from, 2);
    // Nobody waits for it.
    publish(&writer, 5..=50);
    child.resume();
    child.go_on();
    host.expect(|event| match event {
        TransportEvent::ReaderReturned { reader: back, start_sn, .. } => {
            assert_eq!((*back, *start_sn), (reader, 51));
            Some(())
        }
        _ => None,
    });
    // It hears how much it missed, and misses nothing from now on.
    let said = child.line();
    let (next, lost) = said.split_once(' ').unwrap();
    let (next, lost): (u64, u64) = (next.parse().unwrap(), lost.parse().unwrap());
    assert_eq!(lost, next - 2);
    publish(&writer, [51]);
    for number in next + 1..=51 {
        child.go_on();
        child.expect(&format!("{number} {lost}"));
    }
}

/// Another process goes on with the segment of one that was killed.
fn adopt(rig: &Rig) -> (Host, ShmWriter) {
    let host = rig.host(2);
    let writer = host.transport.create_writer(writer("publish durable")).unwrap();
    assert_eq!(writer.slots().head(), 5);
    (host, writer)
}

#[test]
fn a_reader_goes_on_with_the_process_that_adopts_the_segment_it_reads() {
    let rig = Rig::new();
    let (mut child, publication) = publisher(&rig, "publish durable");
    let former = publication.data.guid;
    let host = rig.host(1);
    let reader = host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    host.transport.publication_discovered(publication);
    child.expect("published");
    child.kill();
    let (adopter, writer) = adopt(&rig);
    adopter.introduce(writer.guid(), &host);
    host.transport.participant_lost(former.prefix, LossReason::LeaseExpired);
    publish(&writer, 6..=8);
    let read = next_numbers_of(&reader, 8);
    let first = read[0].0;
    assert!(first <= 3 && read.iter().map(|(number, _)| *number).eq(first..=8), "{read:?}");
    assert!(read.iter().all(|(number, by)| *number <= 5 || *by == writer.guid()), "{read:?}");
    assert_eq!(reader.reachability(writer.guid()), Reachability::SharedMemory);
    assert_eq!(writer.handle().attached_readers(), [reader.guid()]);
}

#[test]
fn a_reader_that_had_given_up_attaches_to_the_adopter_and_gets_nothing_twice() {
    let rig = Rig::new();
    let (mut child, publication) = publisher(&rig, "publish durable");
    let former = publication.data.guid;
    let host = rig.host(1);
    let reader = host.transport.create_reader(reader_of::<Count>(transient_local(3))).unwrap();
    host.transport.publication_discovered(publication);
    child.expect("published");
    child.kill();
    expect_writer_lost(&host, former);
    let read = numbers(&reader);
    assert!(read.ends_with(&[3, 4, 5]), "{read:?}");
    let (adopter, writer) = adopt(&rig);
    adopter.introduce(writer.guid(), &host);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    publish(&writer, 6..=8);
    assert_eq!(next_numbers(&reader, 3), [6, 7, 8]);
    assert!(numbers(&reader).is_empty());
}

#[test]
fn a_late_joiner_gets_the_history_of_the_former_owner_and_is_told() {
    let rig = Rig::new();
    let (mut child, publication) = publisher(&rig, "publish durable");
    let host = rig.host(1);
    let first = host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    host.transport.publication_discovered(publication);
    child.expect("published");
    child.kill();
    drop(first);
    let (adopter, writer) = adopt(&rig);
    let late = rig.host(3);
    let config = ReaderConfig { network_path: true, ..reader_of::<Count>(transient_local(3)) };
    let reader = late.transport.create_reader(config).unwrap();
    adopter.introduce(writer.guid(), &late);
    // The first reader's entry, which it has left, may still be there.
    eventually("the late joiner is attached", || {
        writer.handle().attached_readers() == [reader.guid()]
    });
    // What the new owner sent by network has numbers of its own.
    publish(&writer, [6]);
    reader.handle().network_part_complete(writer.guid());
    assert_eq!(next_numbers(&reader, 4), [3, 4, 5, 6]);
    late.expect(|event| match event {
        TransportEvent::FormerIncarnation { writer: told, owner_epoch, .. } => {
            assert_eq!((*told, *owner_epoch), (writer.guid(), 0));
            Some(())
        }
        _ => None,
    });
}

#[test]
fn a_forked_child_touches_nothing_of_its_parents_endpoints() {
    let rig = Rig::new();
    let node = rig.home.node();
    let registry = Registry::open(&node, "fork").unwrap();
    let transport = ShmTransport::builder(0, GuidPrefix([1; 12])).node(node).match_own(true);
    let participant = EmbeddedParticipant::over(registry, transport.build().unwrap()).unwrap();
    let reader = participant.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let writer = participant.create_writer(writer_of::<Count>(keep_all())).unwrap();
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    publish(&writer, [1]);
    let held = reader.take().unwrap().unwrap();
    // SAFETY: the child calls what is made for it, and ends without returning to the harness.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let write = writer.write(&count(2), &SampleInfo::default());
            let is_refused = matches!(write, Err(SlotError::Forked))
                && matches!(reader.take(), Err(SlotError::Forked));
            let _ = reader.reachability(writer.guid());
            drop(held);
            drop((reader, writer, participant));
            // SAFETY: ends the process; nothing of the harness runs at its end.
            unsafe { nix::libc::_exit(if is_refused { 0 } else { 1 }) };
        }
        ForkResult::Parent { child } => {
            let until = Instant::now() + LONG;
            let status = loop {
                match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
                    WaitStatus::StillAlive if Instant::now() < until => std::thread::yield_now(),
                    WaitStatus::StillAlive => {
                        kill(child, Signal::SIGKILL).unwrap();
                    }
                    status => break status,
                }
            };
            assert_eq!(status, WaitStatus::Exited(child, 0));
        }
    }
    assert_eq!(held.bytes(), count(1));
    drop(held);
    publish(&writer, [2]);
    assert_eq!(next_numbers(&reader, 1), [2]);
}

/// The next numbers up to `last`, and who wrote them.
fn next_numbers_of(reader: &dds_shm::transport::ShmReader, last: u64) -> Vec<(u64, Guid)> {
    let mut found: Vec<(u64, Guid)> = Vec::new();
    while found.last().is_none_or(|(number, _)| *number != last) {
        let sample = reader.take_within(LONG).unwrap().expect("another sample");
        let number = u64::from_ne_bytes(sample.bytes().try_into().unwrap());
        found.push((number, sample.writer()));
    }
    found
}
