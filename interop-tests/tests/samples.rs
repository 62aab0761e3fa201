//! Several processes of ours that know nothing of each other: they find each other by SPDP and SEDP,
//! attach, and exchange samples; one that is paused beyond its lease, and one that is killed, hold
//! nobody up.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use dds_shm::SampleInfo;
use dds_shm::discovery::ParticipantConfig;
use dds_shm::slots::ReaderLoss;
use dds_shm::transport::{
    EmbeddedParticipant, ReaderConfig, ShmReader, ShmWriter, TransportEvent, WriterConfig,
};
use dds_shm::wire::qos::{EndpointQos, History};
use interop_tests::in_namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TOPIC: &str = "Count";
const LEASE: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(60);
/// What the last sample holds.
const END: u64 = u64::MAX;
/// Set in the environment of a child: it is a reader, not a test.
const READER: &str = "DDS_SHM_TEST_READER";

/// What a reader process says of what it got, as its exit code.
const GOT_ALL: i32 = 10;
const MISSED_SOME: i32 = 11;

fn participant() -> EmbeddedParticipant {
    let config = ParticipantConfig {
        lease_duration: LEASE,
        announce_period: Duration::from_secs(1),
        ..ParticipantConfig::new(0)
    };
    EmbeddedParticipant::start(config, |options| options).expect("a participant")
}

fn keep_all(default: EndpointQos) -> EndpointQos {
    let reliability = EndpointQos::writer_default().reliability;
    EndpointQos { history: History::keep_all(), reliability, ..default }
}

fn writer(participant: &EmbeddedParticipant) -> ShmWriter {
    let config = WriterConfig::of::<u64>(TOPIC);
    let qos = keep_all(config.qos.clone());
    participant.create_writer(WriterConfig { qos, slots: Some(64), ..config }).expect("a writer")
}

/// Writes, as often as it takes: a writer that is full times out.
fn write(writer: &ShmWriter, number: u64) -> usize {
    let started = Instant::now();
    loop {
        match writer.write(&number.to_le_bytes(), &SampleInfo::default()) {
            Ok(Some(committed)) => return writer.covered_readers(&committed).len(),
            Ok(None) => panic!("a reliable writer drops nothing"),
            Err(error) => assert!(started.elapsed() < LONG, "{error}"),
        }
    }
}

struct Reader(Child);

impl Reader {
    /// This test again, as a reader in a process of its own.
    fn start(test: &str) -> Self {
        let program = std::env::current_exe().expect("the path of this test");
        let mut command = Command::new(program);
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(READER, "1");
        Self(command.spawn().expect("a reader process"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        kill(pid, signal).expect("our own child");
    }

    fn ends_with(mut self, code: i32) {
        let started = Instant::now();
        while started.elapsed() < LONG {
            if let Some(status) = self.0.try_wait().expect("our own child") {
                assert_eq!(status.code(), Some(code), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the reader does not end");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a reader process does: takes until the end, and checks that nothing comes twice or late.
fn read_to_the_end() -> ! {
    let participant = participant();
    let config = ReaderConfig::of::<u64>(TOPIC);
    let qos = keep_all(config.qos.clone());
    let reader: ShmReader =
        participant.create_reader(ReaderConfig { qos, ..config }).expect("a reader");
    let mut last = 0;
    let mut missed = false;
    loop {
        let sample = reader.take_within(LONG).expect("a writer").expect("a sample");
        let number = u64::from_le_bytes(sample.bytes().try_into().expect("a u64"));
        drop(sample);
        if number == END {
            break;
        }
        assert!(number > last, "{number} after {last}");
        missed |= number != last + 1;
        last = number;
    }
    drop(reader);
    drop(participant);
    std::process::exit(if missed { MISSED_SOME } else { GOT_ALL });
}

/// Waits for the event that `wanted` wants.
fn await_event(participant: &EmbeddedParticipant, wanted: impl Fn(&TransportEvent) -> bool) {
    let events = participant.events();
    let started = Instant::now();
    while started.elapsed() < LONG {
        if events.next_within(Duration::from_secs(1)).is_some_and(|event| wanted(&event)) {
            return;
        }
    }
    panic!("the event did not come");
}

#[test]
fn processes_that_know_nothing_of_each_other_exchange_samples() {
    if std::env::var_os(READER).is_some() {
        read_to_the_end();
    }
    in_namespace!([], || {
        let test = "processes_that_know_nothing_of_each_other_exchange_samples";
        let readers: Vec<_> = (0..3).map(|_| Reader::start(test)).collect();
        let participant = participant();
        let writer = writer(&participant);
        assert_eq!(writer.wait_for_readers(3, LONG), 3);
        for number in 1..=20_000 {
            assert_eq!(write(&writer, number), 3, "covered through shared memory");
        }
        write(&writer, END);
        readers.into_iter().for_each(|reader| reader.ends_with(GOT_ALL));
    });
}

#[test]
fn a_reader_paused_beyond_its_lease_holds_nobody_up_and_comes_back() {
    if std::env::var_os(READER).is_some() {
        read_to_the_end();
    }
    in_namespace!([], || {
        let test = "a_reader_paused_beyond_its_lease_holds_nobody_up_and_comes_back";
        let (paused, other) = (Reader::start(test), Reader::start(test));
        let participant = participant();
        let writer = writer(&participant);
        assert_eq!(writer.wait_for_readers(2, LONG), 2);
        (1..=100).for_each(|number| {
            write(&writer, number);
        });
        paused.signal(Signal::SIGSTOP);
        // More than the segment holds: the writer waits for the paused reader until its lease ends.
        let covered: Vec<_> = (101..=400).map(|number| write(&writer, number)).collect();
        assert_eq!(covered.last(), Some(&1), "the other reader alone");
        await_event(&participant, |event| {
            matches!(event, TransportEvent::ReaderLost { why: ReaderLoss::Disconnected, .. })
        });
        paused.signal(Signal::SIGCONT);
        await_event(&participant, |event| matches!(event, TransportEvent::ReaderReturned { .. }));
        assert_eq!(write(&writer, 401), 2, "both again");
        write(&writer, END);
        paused.ends_with(MISSED_SOME);
        other.ends_with(GOT_ALL);
    });
}

#[test]
fn a_killed_reader_holds_nobody_up() {
    if std::env::var_os(READER).is_some() {
        read_to_the_end();
    }
    in_namespace!([], || {
        let test = "a_killed_reader_holds_nobody_up";
        let (mut killed, other) = (Reader::start(test), Reader::start(test));
        let participant = participant();
        let writer = writer(&participant);
        assert_eq!(writer.wait_for_readers(2, LONG), 2);
        (1..=100).for_each(|number| {
            write(&writer, number);
        });
        killed.0.kill().expect("our own child");
        killed.0.wait().expect("our own child");
        (101..=2_000).for_each(|number| {
            write(&writer, number);
        });
        write(&writer, END);
        other.ends_with(GOT_ALL);
        await_event(&participant, |event| {
            matches!(event, TransportEvent::ReaderLost { why: ReaderLoss::Died, .. })
        });
    });
}
