//! Well-known ports (RTPS 2.5, 9.6.2.3).

/// PB: where domain 0 begins.
const PORT_BASE: u32 = 7400;
/// DG: from one domain to the next.
const DOMAIN_GAIN: u32 = 250;
/// PG: from one participant of a host to the next.
const PARTICIPANT_GAIN: u32 = 2;
/// d0 to d3.
const METATRAFFIC_MULTICAST: u32 = 0;
const METATRAFFIC_UNICAST: u32 = 10;
const USER_UNICAST: u32 = 11;

/// Participants of one domain on one host: indexes 0 to 119. The next one's ports would be those of
/// the next domain.
pub(crate) const MAX_PARTICIPANTS: u32 = 120;

fn port(domain_id: u32, offset: u32) -> Option<u16> {
    let domain = domain_id.checked_mul(DOMAIN_GAIN)?.checked_add(PORT_BASE)?;
    u16::try_from(domain.checked_add(offset)?).ok()
}

/// Where a domain's participants are announced by multicast; `None` if the domain has no ports.
pub(crate) fn metatraffic_multicast(domain_id: u32) -> Option<u16> {
    port(domain_id, METATRAFFIC_MULTICAST)
}

/// Where a participant receives discovery.
pub(crate) fn metatraffic_unicast(domain_id: u32, index: u32) -> Option<u16> {
    port(domain_id, METATRAFFIC_UNICAST.checked_add(PARTICIPANT_GAIN.checked_mul(index)?)?)
}

/// Where a participant receives user data.
pub(crate) fn user_unicast(domain_id: u32, index: u32) -> Option<u16> {
    port(domain_id, USER_UNICAST.checked_add(PARTICIPANT_GAIN.checked_mul(index)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_specification() {
        assert_eq!(metatraffic_multicast(0), Some(7400));
        assert_eq!(metatraffic_unicast(0, 0), Some(7410));
        assert_eq!(user_unicast(0, 0), Some(7411));
        assert_eq!(metatraffic_unicast(77, 3), Some(7400 + 77 * 250 + 10 + 6));
        assert_eq!(user_unicast(77, 3), Some(7400 + 77 * 250 + 11 + 6));
    }

    #[test]
    fn a_domain_beyond_all_ports_has_none() {
        assert_eq!(metatraffic_multicast(232), Some(65_400));
        assert_eq!(metatraffic_multicast(233), None);
        assert_eq!(metatraffic_unicast(232, 63), None);
        assert_eq!(metatraffic_multicast(u32::MAX), None);
        assert_eq!(user_unicast(0, u32::MAX), None);
    }

    #[test]
    fn the_last_participant_stays_below_the_next_domain() {
        assert!(user_unicast(0, MAX_PARTICIPANTS - 1) < metatraffic_multicast(1));
    }
}
