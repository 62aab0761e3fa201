//! Who made an RTPS implementation.

use std::fmt;

/// Two octets, without byte order, that the OMG assigns to an implementer.
///
/// RTPS 2.5, 8.3.3.1.3 and 9.4.4; the list is kept by the DDS Foundation. A vendor-specific
/// parameter (PID ≥ 0x8000) means something only together with the vendor id of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct VendorId(pub [u8; 2]);

impl VendorId {
    /// Nobody said.
    pub const UNKNOWN: Self = Self([0x00, 0x00]);
    /// RTI Connext DDS.
    pub const RTI_CONNEXT: Self = Self([0x01, 0x01]);
    /// OpenSplice DDS.
    pub const OPENSPLICE: Self = Self([0x01, 0x02]);
    /// OpenDDS.
    pub const OPENDDS: Self = Self([0x01, 0x03]);
    /// TwinOaks CoreDX.
    pub const COREDX: Self = Self([0x01, 0x06]);
    /// RTI Connext DDS Micro.
    pub const RTI_CONNEXT_MICRO: Self = Self([0x01, 0x0a]);
    /// Vortex Cafe.
    pub const VORTEX_CAFE: Self = Self([0x01, 0x0b]);
    /// Vortex Lite.
    pub const VORTEX_LITE: Self = Self([0x01, 0x0d]);
    /// eProsima Fast DDS.
    pub const FAST_DDS: Self = Self([0x01, 0x0f]);
    /// Eclipse Cyclone DDS.
    pub const CYCLONE_DDS: Self = Self([0x01, 0x10]);
    /// GurumNetworks GurumDDS.
    pub const GURUM_DDS: Self = Self([0x01, 0x11]);
    /// RustDDS.
    pub const RUST_DDS: Self = Self([0x01, 0x12]);
    /// Dust DDS.
    pub const DUST_DDS: Self = Self([0x01, 0x14]);
    /// eProsima Safe DDS.
    pub const SAFE_DDS: Self = Self([0x01, 0x15]);
    /// HDDS (experimental, not assigned).
    pub const HDDS: Self = Self([0x01, 0xaa]);
    /// ZeroDDS (interim, not assigned).
    pub const ZERO_DDS: Self = Self([0x01, 0xf0]);
    /// What the embedded participant says by default: not assigned to anybody.
    pub const EMBEDDED: Self = Self([0x01, 0x7e]);
}

impl fmt::Display for VendorId {
    /// Four hexadecimal digits after `0x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}{:02x}", self.0[0], self.0[1])
    }
}

impl fmt::Debug for VendorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VendorId({self})")
    }
}
