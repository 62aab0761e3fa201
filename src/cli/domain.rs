//! Which DDS domain a command takes part in, and the participant it has there.

use clap::Args;
use dds_shm::discovery::{Interfaces, ParticipantConfig};
use dds_shm::transport::EmbeddedParticipant;

use super::CliError;

/// The highest domain whose UDP ports are below 65536.
const LAST_DOMAIN: i64 = 232;

#[derive(Clone, Debug, Args)]
pub(crate) struct DomainArgs {
    /// DDS domain
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=LAST_DOMAIN))]
    domain: u32,
    /// Only participants with the same tag see each other
    #[arg(long, default_value = "", hide_default_value = true)]
    tag: String,
    /// Be seen on every network interface, not only on this host
    #[arg(long)]
    all_interfaces: bool,
}

impl DomainArgs {
    /// Takes part.
    pub(crate) fn join(&self, name: &str) -> Result<EmbeddedParticipant, CliError> {
        let interfaces =
            if self.all_interfaces { Interfaces::All } else { Interfaces::LoopbackOnly };
        let config = ParticipantConfig {
            domain_tag: self.tag.clone(),
            name: name.to_owned(),
            interfaces,
            ..ParticipantConfig::new(self.domain)
        };
        Ok(EmbeddedParticipant::start(config, |options| options)?)
    }
}
