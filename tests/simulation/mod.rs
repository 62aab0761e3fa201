//! Participants under simulated time, on a network that loses, doubles and delays.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by several tests")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dds_shm::discovery::{
    Destination, DiscoveryEvent, ParticipantConfig, ParticipantCore, ParticipantLocators,
};
use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, Locator};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// What happens to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of 100 datagrams, so many are lost.
    pub loss: u32,
    /// Of 100 datagrams, so many come twice.
    pub doubles: u32,
    /// Each one is delayed by up to this.
    pub delay: Duration,
}

impl Weather {
    pub const FINE: Self = Self { loss: 0, doubles: 0, delay: Duration::ZERO };
    pub const STORM: Self = Self { loss: 30, doubles: 20, delay: Duration::from_millis(300) };
}

pub struct Participant {
    pub core: ParticipantCore,
    pub events: Vec<DiscoveryEvent>,
    /// Nothing reaches it, and nothing it sends reaches others.
    pub is_cut_off: bool,
    /// Datagrams that it sent.
    pub sent: usize,
}

pub struct Simulation {
    pub now: Instant,
    pub participants: BTreeMap<u8, Participant>,
    pub weather: Weather,
    /// Every datagram that was sent, if wanted.
    pub recording: Option<Vec<(Destination, Vec<u8>)>>,
    random: StdRng,
    in_flight: BTreeMap<(Instant, u64), (u8, u8, Vec<u8>)>,
    sent: u64,
}

pub fn prefix(n: u8) -> GuidPrefix {
    GuidPrefix([0x01, 0x7e, n, 0, 0, 0, 0, 0, 0, 0, 0, n])
}

pub fn metatraffic(n: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, n).into(), 7410)
}

pub fn user(n: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, n).into(), 7411)
}

pub fn endpoint(role: EndpointRole, n: u8, key: u32, topic: &str) -> EndpointData {
    let entity_id = match role {
        EndpointRole::Writer => EntityId::user_writer(key, false),
        EndpointRole::Reader => EntityId::user_reader(key, false),
    };
    EndpointData::new(role, Guid::new(prefix(n), entity_id), topic, "Type")
}

pub fn writer(n: u8, key: u32, topic: &str) -> EndpointData {
    endpoint(EndpointRole::Writer, n, key, topic)
}

pub fn reader(n: u8, key: u32, topic: &str) -> EndpointData {
    endpoint(EndpointRole::Reader, n, key, topic)
}

impl Simulation {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            now: Instant::now(),
            participants: BTreeMap::new(),
            weather,
            recording: None,
            random: StdRng::seed_from_u64(seed),
            in_flight: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Starts participant `n`, in the place of one that may still be there (and says nothing).
    pub fn start(&mut self, n: u8) {
        self.start_with(n, ParticipantConfig::new(0));
    }

    pub fn start_with(&mut self, n: u8, config: ParticipantConfig) {
        let locators = ParticipantLocators {
            metatraffic_unicast: vec![Locator::from(metatraffic(n))],
            metatraffic_multicast: vec![Locator::udp_v4(Ipv4Addr::new(239, 255, 0, 1), 7400)],
            default_unicast: vec![Locator::from(user(n))],
        };
        let core = ParticipantCore::new(self.now, config, prefix(n), locators).unwrap();
        let participant = Participant { core, events: Vec::new(), is_cut_off: false, sent: 0 };
        self.participants.insert(n, participant);
    }

    pub fn get(&mut self, n: u8) -> &mut Participant {
        self.participants.get_mut(&n).unwrap()
    }

    pub fn announce(&mut self, endpoint: EndpointData) {
        let now = self.now;
        let n = endpoint.guid.prefix.0[11];
        self.get(n).core.announce(now, endpoint).unwrap();
    }

    pub fn withdraw(&mut self, endpoint: Guid) {
        let now = self.now;
        self.get(endpoint.prefix.0[11]).core.withdraw(now, endpoint).unwrap();
    }

    /// Lets this much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Lets time pass until the condition holds; panics if it takes longer than `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration, condition: impl Fn(&mut Self) -> bool) {
        let end = self.now + limit;
        assert!(self.run_until(end, condition), "this did not happen within {limit:?}");
    }

    fn run_until(&mut self, end: Instant, condition: impl Fn(&mut Self) -> bool) -> bool {
        loop {
            self.collect();
            if condition(self) {
                return true;
            }
            let timers = self.participants.values().filter_map(|p| p.core.poll_timeout(self.now));
            let deliveries = self.in_flight.keys().map(|(at, _)| *at);
            let Some(next) = timers.chain(deliveries).min().filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            let now = self.now;
            let later = self.in_flight.split_off(&(now, u64::MAX));
            for (from, to, datagram) in std::mem::replace(&mut self.in_flight, later).into_values()
            {
                self.deliver(from, to, &datagram);
            }
            for participant in self.participants.values_mut() {
                if participant.core.poll_timeout(now).is_some_and(|at| at <= now) {
                    participant.core.handle_timeout(now);
                }
            }
        }
    }

    /// What comes from a stranger.
    pub fn inject(&mut self, to: u8, from: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        let participant = self.get(to);
        participant.core.handle_datagram(now, from, datagram);
        participant.events.extend(std::iter::from_fn(|| participant.core.poll_event()));
    }

    fn deliver(&mut self, from: u8, to: u8, datagram: &[u8]) {
        let cut_off = |n| self.participants.get(&n).is_none_or(|p: &Participant| p.is_cut_off);
        if !cut_off(from) && !cut_off(to) {
            self.inject(to, metatraffic(from), datagram);
        }
    }

    /// Takes what the participants have to send and to tell.
    fn collect(&mut self) {
        let all: Vec<u8> = self.participants.keys().copied().collect();
        let mut sent = Vec::new();
        for (&n, participant) in &mut self.participants {
            while let Some((to, datagram)) = participant.core.poll_transmit(self.now) {
                participant.sent += 1;
                if let Some(recording) = &mut self.recording {
                    recording.push((to, datagram.clone()));
                }
                let receivers = match to {
                    Destination::Everybody => all.clone(),
                    Destination::Address(address) => {
                        all.iter().copied().filter(|to| metatraffic(*to) == address).collect()
                    }
                };
                sent.extend(receivers.into_iter().map(|to| (n, to, datagram.clone())));
            }
            participant.events.extend(std::iter::from_fn(|| participant.core.poll_event()));
        }
        for (from, to, datagram) in sent {
            if self.random.random_range(0..100) < self.weather.loss {
                continue;
            }
            let copies =
                if self.random.random_range(0..100) < self.weather.doubles { 2 } else { 1 };
            for _ in 0..copies {
                let delay = self.random.random_range(0..=self.weather.delay.as_micros() as u64);
                self.sent += 1;
                let key = (self.now + Duration::from_micros(delay), self.sent);
                self.in_flight.insert(key, (from, to, datagram.clone()));
            }
        }
    }

    /// Whether every participant knows exactly the endpoints that every other one has.
    pub fn agrees_on(&self, endpoints: &BTreeMap<Guid, EndpointData>) -> bool {
        self.participants.iter().all(|(n, participant)| {
            let core = &participant.core;
            let known: BTreeMap<Guid, &EndpointData> = core
                .publications()
                .chain(core.subscriptions())
                .map(|endpoint| (endpoint.data.guid, &endpoint.data))
                .collect();
            let others: BTreeMap<Guid, &EndpointData> = endpoints
                .iter()
                .filter(|(guid, _)| guid.prefix != prefix(*n))
                .map(|(guid, data)| (*guid, data))
                .collect();
            known == others
        })
    }
}
