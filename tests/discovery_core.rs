//! Two and more participants that find each other, and lose each other, under simulated time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod simulation;

use std::collections::BTreeMap;
use std::time::Duration;

use dds_shm::discovery::{
    DiscoveryEvent, DiscoveryLimits, HostIdentity, LocatorCarrier, LocatorPath, LossReason,
    ParticipantConfig, SHM_VERSION, SegmentFormat, SegmentHints, ShmLocator,
};
use dds_shm::wire::qos::{Liveliness, LivelinessKind};
use dds_shm::wire::{EndpointData, Guid};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use simulation::{Simulation, Weather, endpoint, prefix, reader, writer};

const SECOND: Duration = Duration::from_secs(1);

fn pair(seed: u64, weather: Weather) -> Simulation {
    let mut simulation = Simulation::new(seed, weather);
    simulation.start(1);
    simulation.start(2);
    simulation
}

fn locator(nonce: u8) -> ShmLocator {
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
            incarnation: [nonce; 16],
            type_hash: None,
            host: HostIdentity { boot_id_hash: 1, shm_device: 2 },
        }),
    }
}

fn with_locator(mut writer: EndpointData, nonce: u8) -> EndpointData {
    LocatorCarrier::default().put(&locator(nonce), &mut writer).unwrap();
    writer
}

fn knows(simulation: &mut Simulation, n: u8, other: u8) -> bool {
    let core = &simulation.get(n).core;
    core.participants().any(|participant| participant.data.guid.prefix == prefix(other))
}

fn losses(simulation: &mut Simulation, n: u8) -> Vec<LossReason> {
    let events = simulation.get(n).events.iter();
    events
        .filter_map(|event| match event {
            DiscoveryEvent::ParticipantLost { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

#[test]
fn participants_and_their_endpoints_are_discovered_at_once() {
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(with_locator(writer(1, 1, "Pose"), 7));
    simulation.announce(reader(2, 1, "Pose"));
    simulation.run(Duration::from_millis(1));

    let events = &simulation.get(2).events;
    let [DiscoveryEvent::ParticipantDiscovered(participant), rest @ ..] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(participant.data.guid.prefix, prefix(1));
    assert_eq!(participant.shm_version, Some(SHM_VERSION));
    let [DiscoveryEvent::PublicationDiscovered(publication)] = rest else { panic!("{rest:?}") };
    assert_eq!(publication.data, with_locator(writer(1, 1, "Pose"), 7));
    assert_eq!(publication.locator, Some(locator(7)));

    let events = &simulation.get(1).events;
    let [_, DiscoveryEvent::SubscriptionDiscovered(subscription)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(subscription.data, reader(2, 1, "Pose"));
    assert_eq!(subscription.shm_version, Some(SHM_VERSION));
}

#[test]
fn a_late_joiner_learns_what_there_is() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    for key in 1..=5 {
        simulation.announce(writer(1, key, "T"));
    }
    simulation.withdraw(writer(1, 3, "T").guid);
    simulation.run(20 * SECOND);
    simulation.start(2);
    simulation.run(Duration::from_millis(1));
    let keys: Vec<u32> = simulation
        .get(2)
        .core
        .publications()
        .map(|publication| publication.data.guid.entity_id.key())
        .collect();
    assert_eq!(keys, [1, 2, 4, 5]);
}

#[test]
fn changes_and_removals_are_told() {
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(with_locator(writer(1, 1, "T"), 1));
    simulation.run(SECOND);
    simulation.get(2).events.clear();

    simulation.announce(with_locator(writer(1, 1, "T"), 2));
    simulation.announce(with_locator(writer(1, 1, "T"), 2));
    simulation.run(SECOND);
    simulation.withdraw(writer(1, 1, "T").guid);
    simulation.withdraw(writer(1, 1, "T").guid);
    simulation.run(SECOND);
    let events = &simulation.get(2).events;
    let [DiscoveryEvent::PublicationChanged(changed), DiscoveryEvent::PublicationGone(gone)] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(changed.locator, Some(locator(2)));
    assert_eq!(*gone, writer(1, 1, "T").guid);
}

#[test]
fn an_idle_pair_sends_announcements_only() {
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(writer(1, 1, "T"));
    simulation.run(10 * SECOND);
    let before = simulation.get(1).sent;
    simulation.run(60 * SECOND);
    let sent = simulation.get(1).sent - before;
    // 20 announcements in 60 s, and two rounds of reminders.
    assert!((20..=26).contains(&sent), "{sent}");
    assert_eq!(losses(&mut simulation, 2), []);
}

#[test]
fn any_weather_ends_in_agreement() {
    for seed in 0..40 {
        let mut simulation = Simulation::new(seed, Weather::STORM);
        let mut random = StdRng::seed_from_u64(seed);
        for n in 1..=3 {
            simulation.start(n);
        }
        let mut endpoints: BTreeMap<Guid, EndpointData> = BTreeMap::new();
        for step in 0..60 {
            let role = if random.random() {
                dds_shm::wire::EndpointRole::Writer
            } else {
                dds_shm::wire::EndpointRole::Reader
            };
            let mut data =
                endpoint(role, random.random_range(1..=3), random.random_range(1..=6), "T");
            if random.random_range(0..3) == 0 {
                endpoints.remove(&data.guid);
                simulation.withdraw(data.guid);
            } else {
                data.user_data = vec![step];
                endpoints.insert(data.guid, data.clone());
                simulation.announce(data);
            }
            simulation.run(Duration::from_millis(random.random_range(0..200)));
        }
        // So much loss ends a lease now and then: agreement comes, and lasts when the storm is over.
        simulation.wait(60 * SECOND, |simulation| simulation.agrees_on(&endpoints));
        simulation.weather = Weather::FINE;
        simulation.run(20 * SECOND);
        assert!(simulation.agrees_on(&endpoints), "{seed}");
    }
}

#[test]
fn events_tell_the_same_story_as_the_state() {
    for seed in 0..10 {
        let mut simulation = pair(seed, Weather::STORM);
        let mut random = StdRng::seed_from_u64(seed);
        for step in 0..40 {
            let mut data = writer(1, random.random_range(1..=4), "T");
            if random.random_range(0..3) == 0 {
                simulation.withdraw(data.guid);
            } else {
                data.user_data = vec![step];
                simulation.announce(data);
            }
            simulation.run(Duration::from_millis(random.random_range(0..400)));
        }
        simulation.run(30 * SECOND);
        let mut told: BTreeMap<Guid, EndpointData> = BTreeMap::new();
        for event in &simulation.get(2).events {
            match event {
                DiscoveryEvent::PublicationDiscovered(new) => {
                    assert!(told.insert(new.data.guid, new.data.clone()).is_none(), "{seed}");
                }
                DiscoveryEvent::PublicationChanged(new) => {
                    let before = told.insert(new.data.guid, new.data.clone());
                    assert!(before.is_some_and(|before| before != new.data), "{seed}");
                }
                DiscoveryEvent::PublicationGone(guid) => {
                    assert!(told.remove(guid).is_some(), "{seed}");
                }
                DiscoveryEvent::ParticipantLost { .. } => told.clear(),
                _ => {}
            }
        }
        let state: BTreeMap<Guid, EndpointData> = simulation
            .get(2)
            .core
            .publications()
            .map(|publication| (publication.data.guid, publication.data.clone()))
            .collect();
        assert_eq!(told, state, "{seed}");
    }
}

#[test]
fn thousands_of_endpoints_arrive_over_a_bad_network() {
    let mut simulation = Simulation::new(3, Weather { loss: 10, ..Weather::FINE });
    simulation.start(1);
    let mut endpoints = BTreeMap::new();
    for key in 1..=3000 {
        let data = writer(1, key, "T");
        endpoints.insert(data.guid, data.clone());
        simulation.announce(data);
    }
    simulation.start(2);
    simulation.wait(30 * SECOND, |simulation| simulation.agrees_on(&endpoints));
}

#[test]
fn a_peer_that_falls_silent_is_lost_with_its_lease_and_found_again() {
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(writer(1, 1, "T"));
    simulation.run(20 * SECOND);
    simulation.get(1).is_cut_off = true;
    simulation.run(6 * SECOND);
    assert!(knows(&mut simulation, 2, 1));
    simulation.wait(5 * SECOND, |simulation| !knows(simulation, 2, 1));
    assert_eq!(losses(&mut simulation, 2), [LossReason::LeaseExpired]);
    assert_eq!(simulation.get(2).core.publications().count(), 0);
    simulation.wait(5 * SECOND, |simulation| !knows(simulation, 1, 2));

    simulation.get(1).is_cut_off = false;
    simulation.wait(4 * SECOND, |s| knows(s, 2, 1) && s.get(2).core.publications().count() == 1);
    simulation.wait(4 * SECOND, |simulation| knows(simulation, 1, 2));
}

#[test]
fn a_peer_that_lost_us_alone_learns_our_endpoints_again() {
    // 2 does not hear 1 any more; 1 hears 2 all the time.
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(writer(1, 1, "T"));
    simulation.run(SECOND);
    simulation.get(2).is_cut_off = true;
    simulation.wait(20 * SECOND, |simulation| !knows(simulation, 2, 1));
    simulation.get(2).is_cut_off = false;
    simulation.wait(4 * SECOND, |s| s.get(2).core.publications().count() == 1);
}

#[test]
fn a_peer_that_leaves_is_lost_at_once() {
    let mut simulation = pair(0, Weather::FINE);
    simulation.announce(writer(1, 1, "T"));
    simulation.run(SECOND);
    let now = simulation.now;
    simulation.get(1).core.close(now);
    simulation.run(Duration::from_millis(1));
    assert_eq!(losses(&mut simulation, 2), [LossReason::Disposed]);
    assert!(!knows(&mut simulation, 2, 1));
    assert_eq!(simulation.get(1).core.poll_timeout(now), None);
    simulation.run(20 * SECOND);
    assert_eq!(losses(&mut simulation, 2).len(), 1);
}

#[test]
fn a_participant_that_restarts_with_its_old_guid_is_followed() {
    // As many announcements as before, fewer, more.
    for (before, after) in [(1, 1), (3, 1), (1, 3), (2, 0), (5, 5)] {
        let mut simulation = pair(0, Weather::FINE);
        for key in 1..=before {
            simulation.announce(with_locator(writer(1, key, "T"), 1));
        }
        simulation.announce(reader(2, 9, "T"));
        simulation.run(20 * SECOND);
        simulation.start(1);
        let mut endpoints = BTreeMap::new();
        let kept = reader(2, 9, "T");
        endpoints.insert(kept.guid, kept);
        for key in 1..=after {
            let data = with_locator(writer(1, key + before - 1, "T"), 2);
            endpoints.insert(data.guid, data.clone());
            simulation.announce(data);
        }
        simulation.wait(60 * SECOND, |simulation| simulation.agrees_on(&endpoints));
        assert_eq!(losses(&mut simulation, 2), [], "{before} {after}");
    }
}

#[test]
fn participants_of_other_domains_and_tags_are_ignored() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    simulation.start_with(2, ParticipantConfig::new(1));
    let tagged = ParticipantConfig { domain_tag: "robot".to_owned(), ..ParticipantConfig::new(0) };
    simulation.start_with(3, tagged.clone());
    simulation.start_with(4, tagged);
    simulation.run(10 * SECOND);
    for n in 1..=4 {
        let known = simulation.get(n).core.participants().count();
        assert_eq!(known, usize::from(n >= 3), "{n}");
    }
}

#[test]
fn limits_hold_and_leave_room_again() {
    let limits =
        DiscoveryLimits { participants: 2, endpoints_per_participant: 3, ..Default::default() };
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start_with(1, ParticipantConfig { limits, ..ParticipantConfig::new(0) });
    for n in 2..=5 {
        simulation.start(n);
    }
    for key in 1..=10 {
        simulation.announce(writer(2, key, "T"));
        simulation.announce(reader(2, key, "T"));
    }
    simulation.run(SECOND);
    assert_eq!(simulation.get(1).core.participants().count(), 2);
    assert_eq!(simulation.get(1).core.publications().count(), 3);
    assert_eq!(simulation.get(1).core.subscriptions().count(), 3);
    let now = simulation.now;
    simulation.get(2).core.close(now);
    simulation.run(5 * SECOND);
    assert_eq!(simulation.get(1).core.participants().count(), 2);
    assert!(!knows(&mut simulation, 1, 2));
}

#[test]
fn a_foreign_endpoint_cannot_be_announced() {
    let mut simulation = pair(0, Weather::FINE);
    let now = simulation.now;
    let core = &mut simulation.get(1).core;
    assert!(core.announce(now, writer(2, 1, "T")).is_err());
    let mut huge = writer(1, 1, "T");
    huge.user_data = vec![0; 61_000];
    let error = core.announce(now, huge).unwrap_err().to_string();
    assert!(error.contains("shorten"), "{error}");
}

#[test]
fn a_large_announcement_arrives() {
    let mut simulation = pair(0, Weather::STORM);
    let mut data = writer(1, 1, "T");
    data.user_data = vec![7; 50_000];
    simulation.announce(data.clone());
    simulation.announce(writer(1, 2, "T"));
    simulation.wait(20 * SECOND, |s| s.get(2).core.publications().count() == 2);
}

#[test]
fn liveliness_is_asserted_for_writers_whose_lease_ends() {
    let mut simulation = pair(0, Weather::FINE);
    let mut data = writer(1, 1, "T");
    data.qos.liveliness = Liveliness {
        kind: LivelinessKind::Automatic,
        lease_duration: Duration::from_millis(300).into(),
    };
    simulation.announce(data.clone());
    simulation.run(10 * SECOND);
    let before = simulation.get(1).sent;
    simulation.run(3 * SECOND);
    let sent = simulation.get(1).sent - before;
    assert!((28..=36).contains(&sent), "{sent}");

    simulation.withdraw(data.guid);
    simulation.run(SECOND);
    let before = simulation.get(1).sent;
    simulation.run(3 * SECOND);
    assert!(simulation.get(1).sent - before <= 2);
    // Assertions are no endpoints.
    assert_eq!(simulation.get(2).core.publications().count(), 0);
}

#[test]
fn a_frozen_participant_does_not_make_up_for_what_it_slept_through() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    simulation.run(10 * SECOND);
    let before = simulation.get(1).sent;
    simulation.now += 1000 * SECOND;
    simulation.run(Duration::ZERO);
    assert_eq!(simulation.get(1).sent - before, 1);
}

#[test]
fn an_announce_period_that_does_not_fit_the_lease_is_changed() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    for (n, announce_period) in [(1, Duration::ZERO), (2, 100 * SECOND)] {
        let lease_duration = 2 * SECOND;
        let config =
            ParticipantConfig { announce_period, lease_duration, ..ParticipantConfig::new(0) };
        simulation.start_with(n, config);
    }
    simulation.run(20 * SECOND);
    assert_eq!(losses(&mut simulation, 1), []);
    assert!(knows(&mut simulation, 1, 2));
    assert!(simulation.get(1).sent < 2500);
}
