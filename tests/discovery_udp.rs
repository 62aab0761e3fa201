//! Participants on real sockets, of the loopback interface only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use dds_shm::discovery::{
    DiscoveryEvent, EndpointDirectory as _, HostIdentity, Interfaces, LocatorCarrier, LocatorPath,
    LossReason, Participant, ParticipantConfig, SHM_VERSION, SegmentFormat, SegmentHints,
    ShmLocator,
};
use dds_shm::wire::{EndpointData, EndpointRole};

/// Nothing takes this long unless it never happens.
const LIMIT: Duration = Duration::from_secs(20);

fn config(domain_id: u32, name: &str) -> ParticipantConfig {
    ParticipantConfig {
        interfaces: Interfaces::LoopbackOnly,
        name: name.to_owned(),
        ..ParticipantConfig::new(domain_id)
    }
}

/// Waits for an event that `pick` likes; others are passed over.
#[track_caller]
fn expect<T>(events: &Receiver<DiscoveryEvent>, pick: impl Fn(DiscoveryEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        let event = events.recv_deadline(deadline).expect("the event did not come");
        if let Some(picked) = pick(event) {
            return picked;
        }
    }
}

fn locator() -> ShmLocator {
    ShmLocator {
        hostname_hash: 1,
        uid: 1000,
        slot_count: 16,
        slot_stride: 128,
        path: LocatorPath::new("/dev/shm/dds-shm-1000/segments/a.flink").unwrap(),
        segment: Some(SegmentHints {
            format: SegmentFormat::V1,
            flags: 0,
            slot_capacity: 64,
            incarnation: [7; 16],
            type_hash: None,
            host: HostIdentity::of_this_process(),
        }),
    }
}

#[test]
fn two_participants_find_each_other_on_loopback_and_say_good_bye() {
    let one = Participant::start(config(211, "one")).unwrap();
    let two = Participant::start(config(211, "two")).unwrap();
    assert_ne!(one.index(), two.index());
    assert_ne!(one.guid_prefix(), two.guid_prefix());

    let publication = EndpointData::new(
        EndpointRole::Writer,
        one.new_writer_guid(true),
        "Pose",
        "geometry::Pose",
    );
    one.announce(publication.clone(), Some(locator())).unwrap();
    let subscription = EndpointData::new(
        EndpointRole::Reader,
        two.new_reader_guid(true),
        "Pose",
        "geometry::Pose",
    );
    two.announce(subscription.clone(), None).unwrap();

    let events = two.events();
    let participant = expect(&events, |event| match event {
        DiscoveryEvent::ParticipantDiscovered(participant) => Some(participant),
        _ => None,
    });
    assert_eq!(participant.data.entity_name, "one");
    assert_eq!(participant.shm_version, Some(SHM_VERSION));
    let found = expect(&events, |event| match event {
        DiscoveryEvent::PublicationDiscovered(publication) => Some(publication),
        _ => None,
    });
    assert_eq!(found.data.guid, publication.guid);
    assert_eq!(found.locator, Some(locator()));
    assert_eq!(two.publications("Pose").len(), 1);
    assert_eq!(two.publications("Other").len(), 0);

    let found = expect(&one.events(), |event| match event {
        DiscoveryEvent::SubscriptionDiscovered(subscription) => Some(subscription),
        _ => None,
    });
    assert_eq!(found.data, subscription);

    one.withdraw(publication.guid).unwrap();
    let gone = expect(&events, |event| match event {
        DiscoveryEvent::PublicationGone(guid) => Some(guid),
        _ => None,
    });
    assert_eq!(gone, publication.guid);

    let prefix = one.guid_prefix();
    drop(one);
    let (lost, reason) = expect(&events, |event| match event {
        DiscoveryEvent::ParticipantLost { prefix, reason } => Some((prefix, reason)),
        _ => None,
    });
    assert_eq!((lost, reason), (prefix, LossReason::Disposed));
    assert_eq!(two.dropped_events(), 0);
}

#[test]
fn every_carrier_works_over_sockets() {
    let two = Participant::start(config(212, "")).unwrap();
    let events = two.events();
    for carrier in [LocatorCarrier::Property, LocatorCarrier::UserData] {
        let one = Participant::start(config(212, "")).unwrap().with_carrier(carrier);
        let guid = one.new_writer_guid(false);
        let mut data = EndpointData::new(EndpointRole::Writer, guid, "T", "U");
        data.user_data = b"typehash=RIHS01_00;".to_vec();
        one.announce(data, Some(locator())).unwrap();
        let found = expect(&events, |event| match event {
            DiscoveryEvent::PublicationDiscovered(publication) => Some(publication),
            _ => None,
        });
        assert_eq!(found.locator, Some(locator()), "{carrier:?}");
        assert!(found.data.user_data.starts_with(b"typehash=RIHS01_00;"));
    }
}

#[test]
fn many_participants_of_one_process_know_each_other() {
    let all: Vec<_> = (0..12).map(|_| Participant::start(config(213, "")).unwrap()).collect();
    let deadline = Instant::now() + LIMIT;
    // The last one to learn of all others is not known: each one's events are waited for.
    for participant in &all {
        let events = participant.events();
        while participant.participants().len() < all.len() - 1 {
            events.recv_deadline(deadline).expect("not all were found");
        }
    }
}

#[test]
fn a_domain_without_ports_is_refused_with_advice() {
    let error = Participant::start(config(300, "")).unwrap_err().to_string();
    assert!(error.contains("domain 300") && error.contains("232"), "{error}");
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let interfaces = Interfaces::Named(vec!["no-such-if".to_owned()]);
    let error =
        Participant::start(ParticipantConfig { interfaces, ..config(214, "") }).unwrap_err();
    assert!(error.to_string().contains("no-such-if"), "{error}");
}
