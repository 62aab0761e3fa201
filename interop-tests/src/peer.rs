//! A participant of another implementation, in a process of its own.
//!
//! What it sees comes as JSON objects, one per line of its stdout; GUIDs are 32 hexadecimal digits:
//!
//! | `event` | other fields |
//! |---|---|
//! | `ready` | `participant`, `writer`, `reader` (GUID or null) |
//! | `participant`, `participant_lost` | `guid`; RustDDS, dds-shm: `vendor`; `reason` (`disposed`, `timeout`) |
//! | `publication`, `subscription` | `guid`, `topic`, `type`, `user_data` (hexadecimal); dds-shm: `locator` (path or null) |
//! | `publication_lost`, `subscription_lost` | `guid`; RustDDS: `reason` |
//! | `unreachable` | dds-shm: `local`, `remote`, `why` |
//! | `writer_matched`, `reader_matched` | RustDDS: `guid` of the remote endpoint |
//! | `matched` (on command) | how many `writers` and `readers` are matched now |
//! | `sample` | `value` |
//! | `written`, `write_failed` | `count` in all; `reason` |
//! | `acks` | `ok`: everything was acknowledged in time |
//! | `history` | `ok`: the reader has got all that was written before, in time |
//! | `stopped` | |
//!
//! Commands are lines on its stdin: `write N`, `acks SECONDS`, `matched` and `history SECONDS`
//! (Cyclone), `withdraw` (dds-shm: takes its endpoints back), `stop`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dds_shm::wire::Guid;
use serde_json::Value;

/// How long an event is waited for that should come soon: a machine under load takes its time.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who a peer is.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its participant.
    pub participant: Guid,
    /// Its writer, if it has one.
    pub writer: Option<Guid>,
    /// Its reader, if it has one.
    pub reader: Option<Guid>,
}

/// A participant of another implementation. Killed when dropped.
#[derive(Debug)]
pub struct Peer {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    incoming: Receiver<Value>,
    /// Everything that it has said so far, in its order.
    events: Vec<Value>,
}

impl Peer {
    /// Starts a command that behaves as this module says.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let stdout = child.stdout.take().expect("its stdout is piped");
        let stdin = child.stdin.take();
        let (send, incoming) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line)
                    .unwrap_or_else(|_| serde_json::json!({ "event": "text", "text": line }));
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        Self { name, child, stdin, incoming, events: Vec::new() }
    }

    /// Who it is; waits until it has started.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn ready(&mut self) -> Ready {
        let event = self.wait_for("ready", |_| true);
        let guid = |field: &str| event[field].as_str().map(|text| text.parse().expect("a GUID"));
        Ready {
            participant: guid("participant").expect("a participant"),
            writer: guid("writer"),
            reader: guid("reader"),
        }
    }

    /// The first event of this kind, from its start on, that `accept` accepts; waits for it.
    ///
    /// # Panics
    ///
    /// If it does not come within [`EVENT_TIMEOUT`]; the message has all that came.
    pub fn wait_for(&mut self, kind: &str, accept: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_within(EVENT_TIMEOUT, kind, accept)
    }

    /// The same with another bound.
    ///
    /// # Panics
    ///
    /// If it does not come in time; the message has all that came.
    pub fn wait_for_within(
        &mut self,
        bound: Duration,
        kind: &str,
        accept: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + bound;
        let wanted = |event: &Value| event["event"] == kind && accept(event);
        let mut looked_at = 0;
        loop {
            if let Some(found) = self.events[looked_at..].iter().find(|event| wanted(event)) {
                return found.clone();
            }
            looked_at = self.events.len();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(event) => self.events.push(event),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no {kind} as wanted within {bound:?}; {}", self.name, self.log())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: ended without {kind} as wanted; {}", self.name, self.log())
                }
            }
        }
    }

    /// Everything it has said so far.
    pub fn events(&mut self) -> &[Value] {
        self.events.extend(self.incoming.try_iter());
        &self.events
    }

    /// Forgets what it has said so far, so that [`Peer::wait_for`] waits for what is new.
    pub fn forget(&mut self) {
        self.events.extend(self.incoming.try_iter());
        self.events.clear();
    }

    /// Gives it a command.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn tell(&mut self, command: &str) {
        let written = match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{command}"),
            None => panic!("{}: already told to stop", self.name),
        };
        if let Err(error) = written {
            panic!("{}: cannot be told {command:?} ({error}); {}", self.name, self.log());
        }
    }

    /// Writes so many samples with its writer; `true` if none of them timed out.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn write(&mut self, count: u32) -> bool {
        self.answer(&format!("write {count}"), &["written", "write_failed"])["event"] == "written"
    }

    /// Whether everything that its writer wrote is acknowledged within this time.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn wait_for_acks(&mut self, bound: Duration) -> bool {
        self.answer(&format!("acks {}", bound.as_secs_f64()), &["acks"])["ok"] == true
    }

    /// Whether the reader of a Cyclone peer gets all that was written before it came in this time.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn wait_for_history(&mut self, bound: Duration) -> bool {
        self.answer(&format!("history {}", bound.as_secs_f64()), &["history"])["ok"] == true
    }

    /// Gives a command and waits for the next event of one of these kinds.
    fn answer(&mut self, command: &str, kinds: &[&str]) -> Value {
        self.answers(command, kinds).pop().expect("the event that was waited for")
    }

    /// The same; returns everything that came from the command on, that event as the last.
    pub(crate) fn answers(&mut self, command: &str, kinds: &[&str]) -> Vec<Value> {
        self.events.extend(self.incoming.try_iter());
        let before = self.events.len();
        self.tell(command);
        let deadline = Instant::now() + EVENT_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(event) => self.events.push(event),
                Err(error) => panic!("{}: {command:?}: {error}; {}", self.name, self.log()),
            }
            let last = &self.events[self.events.len() - 1];
            if kinds.iter().any(|kind| last["event"] == *kind) {
                return self.events[before..].to_vec();
            }
        }
    }

    /// Lets it leave as it should: its endpoints and participant are deleted, the others are told.
    ///
    /// # Panics
    ///
    /// If it does not end well.
    pub fn stop(mut self) {
        self.tell("stop");
        self.wait_for("stopped", |_| true);
        let status = self.child.wait().expect("a child that was not waited for");
        assert!(status.success(), "{}: ended with {status}; {}", self.name, self.log());
    }

    /// Kills it (SIGKILL): nobody is told.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child that was not waited for")
    }

    /// The process, for signals other than SIGKILL.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        let rest: Vec<_> = self.incoming.try_iter().collect();
        let events = self.events.iter().chain(&rest);
        let lines: Vec<_> = events.map(|event| format!("\n    {event}")).collect();
        format!("it said:{}", lines.concat())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails if it has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
