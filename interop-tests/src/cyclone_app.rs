//! Processes that use Cyclone DDS from C, over the network or the plugin, as `CYCLONEDDS_URI` says.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::Peer;
use crate::cyclone::programs;

/// How C applications of Cyclone DDS reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// UDP over the loopback interface.
    Network,
    /// dds-shm, and UDP for what it does not take.
    Plugin,
}

/// How Cyclone DDS is configured for a program.
#[derive(Clone, Debug)]
pub struct CycloneOptions {
    via: Via,
    library: PathBuf,
    plugin_options: String,
    instances: Vec<String>,
    lease: Option<Duration>,
    more: String,
    environment: Vec<(String, String)>,
    log: Option<PathBuf>,
}

impl CycloneOptions {
    /// The configuration that a user would write: one interface, and nothing else.
    pub fn new(via: Via) -> Self {
        Self {
            via,
            library: plugin_library(),
            plugin_options: String::new(),
            instances: Vec::new(),
            lease: None,
            more: String::new(),
            environment: Vec::new(),
            log: None,
        }
    }

    /// Options of the plugin, `KEY=VALUE;` each.
    #[must_use]
    pub fn plugin_options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.plugin_options);
        self
    }

    /// One more instance of the plugin, of this name.
    #[must_use]
    pub fn instance(mut self, name: &str) -> Self {
        self.instances.push(name.to_owned());
        self
    }

    /// The participant's lease, whole milliseconds; by default 10 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// More elements of the domain's configuration.
    #[must_use]
    pub fn more(mut self, elements: &str) -> Self {
        elements.clone_into(&mut self.more);
        self
    }

    /// A variable of the program's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its stderr goes to this file instead of the test's.
    #[must_use]
    pub fn log(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// The value of `CYCLONEDDS_URI`.
    pub fn settings(&self) -> String {
        let exchange = |options: &str| {
            format!(
                "<PubSubMessageExchange type=\"dds_shm\" library=\"{}\" config=\"{options}\"/>",
                self.library.display()
            )
        };
        let exchanges: String = match self.via {
            Via::Network => String::new(),
            Via::Plugin if self.instances.is_empty() => exchange(&self.plugin_options),
            Via::Plugin => self
                .instances
                .iter()
                .map(|name| exchange(&format!("INSTANCE_NAME={name};{}", self.plugin_options)))
                .collect(),
        };
        let lease = self.lease.map_or_else(String::new, |lease| {
            format!("<LeaseDuration>{}ms</LeaseDuration>", lease.as_millis())
        });
        format!(
            "<CycloneDDS><Domain Id=\"any\"><General><Interfaces>\
             <NetworkInterface name=\"lo\" multicast=\"true\"/>{exchanges}</Interfaces></General>\
             <Discovery><ParticipantIndex>auto</ParticipantIndex>{lease}</Discovery>{}</Domain>\
             </CycloneDDS>",
            self.more
        )
    }

    /// A command that runs one of the programs of the set-up so configured; the test has to need
    /// [`Need::CycloneC`](crate::Need::CycloneC).
    pub fn command(&self, program: &str) -> Command {
        let folder = programs().expect("a test that needs Need::CycloneC");
        let mut command = Command::new(folder.join(program));
        command.env("CYCLONEDDS_URI", self.settings()).envs(self.environment.iter().cloned());
        if let Some(path) = &self.log {
            command.stderr(File::create(path).expect("the file of a log"));
        }
        command
    }

    /// Starts the application with a participant `p` in domain 0.
    pub fn start(&self) -> CycloneApp {
        let mut app = self.start_bare();
        app.run("participant p");
        app
    }

    /// Starts the application, without a participant.
    pub fn start_bare(&self) -> CycloneApp {
        CycloneApp(Peer::start("Cyclone DDS in C", self.command("app")))
    }

    /// Starts the application of a later day, whose types have evolved, with a participant `p`.
    pub fn start_evolved(&self) -> CycloneApp {
        let mut app = CycloneApp(Peer::start("Cyclone DDS in C", self.command("evolved-app")));
        app.run("participant p");
        app
    }
}

/// Where cargo puts the plugin, which this package depends on: beside tests, and in `deps` for programs.
fn plugin_library() -> PathBuf {
    let executable = std::env::current_exe().expect("the path of this program");
    let folder = executable.parent().expect("a folder");
    let name = "libpsmx_dds_shm.so";
    let places = [folder.join("deps").join(name), folder.join(name)];
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name))
}

/// A C application of Cyclone DDS that obeys the commands of `cyclone/app/app.c`. Killed when dropped.
#[derive(Debug)]
pub struct CycloneApp(Peer);

impl CycloneApp {
    /// Has it do something that has to succeed; what it said on it.
    ///
    /// # Panics
    ///
    /// If it fails, or takes longer than [`EVENT_TIMEOUT`](crate::EVENT_TIMEOUT).
    pub fn run(&mut self, command: &str) -> Vec<Value> {
        let (result, events) = self.try_run(command);
        assert_eq!(result, 0, "{command}: {events:?}");
        events
    }

    /// Has it do something; Cyclone's return code, and what it said on it.
    ///
    /// # Panics
    ///
    /// If it takes longer than [`EVENT_TIMEOUT`](crate::EVENT_TIMEOUT), or ends.
    pub fn try_run(&mut self, command: &str) -> (i64, Vec<Value>) {
        let mut events = self.0.answers(command, &["done"]);
        let done = events.last().and_then(|done| done["rc"].as_i64()).expect("a return code");
        if done == 0 {
            events.pop();
        }
        (done, events)
    }

    /// The samples that `take` with these words takes, as text.
    ///
    /// # Panics
    ///
    /// If it fails or what it waits for does not come.
    pub fn take(&mut self, words: &str) -> Vec<String> {
        texts(&self.run(&format!("take {words}")))
    }

    /// Has its writer `w` and the reader `r` of another, both in their participants `p`, matched; each
    /// is made with these words.
    ///
    /// # Panics
    ///
    /// If they do not match.
    pub fn connect(&mut self, reader: &mut Self, kind: &str, topic: &str, qos: [&str; 2]) {
        self.run(&format!("writer w {kind} {topic} {}", qos[0]));
        reader.run(&format!("reader r {kind} {topic} {}", qos[1]));
        self.matched("w", 1);
        reader.matched("r", 1);
    }

    /// Waits until an endpoint is matched with so many.
    ///
    /// # Panics
    ///
    /// If that does not come to be.
    pub fn matched(&mut self, endpoint: &str, count: u32) {
        self.run(&format!("matched {endpoint} {count}"));
    }

    /// One number of an endpoint's `status`.
    ///
    /// # Panics
    ///
    /// If it has none of this name.
    pub fn status(&mut self, endpoint: &str, name: &str) -> i64 {
        let events = self.run(&format!("status {endpoint}"));
        events[0][name].as_i64().unwrap_or_else(|| panic!("{name} in {events:?}"))
    }

    /// The process itself.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.0
    }

    /// Lets it delete everything and end.
    ///
    /// # Panics
    ///
    /// If it does not end well.
    pub fn stop(self) {
        self.0.stop();
    }

    /// Kills it (SIGKILL).
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn kill(self) {
        self.0.kill();
    }
}

/// The texts of the samples among these events.
pub fn texts(events: &[Value]) -> Vec<String> {
    let samples = events.iter().filter(|event| event["event"] == "sample");
    samples.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
}
