//! Names of parameters.

use std::fmt;

/// What a parameter is: 16 bits.
///
/// Bit 0x8000 marks those that a vendor defines (they mean something only together with the vendor
/// id of their sender), bit 0x4000 those that must be understood. RTPS 2.5, 9.4.2.11.2, Table 9.6;
/// values: Table 9.18; XTypes 1.3, 7.6; DDS-RPC 1.0, 7.6.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub u16);

macro_rules! parameters {
    ($($name:ident = $value:literal;)*) => {
        #[expect(missing_docs, reason = "the specification's names; its tables describe them")]
        impl ParameterId {
            $(pub const $name: Self = Self($value);)*

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

parameters! {
    PAD = 0x0000;
    SENTINEL = 0x0001;
    PARTICIPANT_LEASE_DURATION = 0x0002;
    TIME_BASED_FILTER = 0x0004;
    TOPIC_NAME = 0x0005;
    OWNERSHIP_STRENGTH = 0x0006;
    TYPE_NAME = 0x0007;
    DOMAIN_ID = 0x000f;
    PROTOCOL_VERSION = 0x0015;
    VENDOR_ID = 0x0016;
    RELIABILITY = 0x001a;
    LIVELINESS = 0x001b;
    DURABILITY = 0x001d;
    DURABILITY_SERVICE = 0x001e;
    OWNERSHIP = 0x001f;
    PRESENTATION = 0x0021;
    DEADLINE = 0x0023;
    DESTINATION_ORDER = 0x0025;
    LATENCY_BUDGET = 0x0027;
    PARTITION = 0x0029;
    LIFESPAN = 0x002b;
    USER_DATA = 0x002c;
    GROUP_DATA = 0x002d;
    TOPIC_DATA = 0x002e;
    UNICAST_LOCATOR = 0x002f;
    MULTICAST_LOCATOR = 0x0030;
    DEFAULT_UNICAST_LOCATOR = 0x0031;
    METATRAFFIC_UNICAST_LOCATOR = 0x0032;
    METATRAFFIC_MULTICAST_LOCATOR = 0x0033;
    PARTICIPANT_MANUAL_LIVELINESS_COUNT = 0x0034;
    CONTENT_FILTER_PROPERTY = 0x0035;
    HISTORY = 0x0040;
    RESOURCE_LIMITS = 0x0041;
    EXPECTS_INLINE_QOS = 0x0043;
    DEFAULT_MULTICAST_LOCATOR = 0x0048;
    TRANSPORT_PRIORITY = 0x0049;
    PARTICIPANT_GUID = 0x0050;
    GROUP_GUID = 0x0052;
    GROUP_ENTITY_ID = 0x0053;
    COHERENT_SET = 0x0056;
    DIRECTED_WRITE = 0x0057;
    BUILTIN_ENDPOINT_SET = 0x0058;
    PROPERTY_LIST = 0x0059;
    ENDPOINT_GUID = 0x005a;
    TYPE_MAX_SIZE_SERIALIZED = 0x0060;
    ORIGINAL_WRITER_INFO = 0x0061;
    ENTITY_NAME = 0x0062;
    KEY_HASH = 0x0070;
    STATUS_INFO = 0x0071;
    TYPE_OBJECT = 0x0072;
    DATA_REPRESENTATION = 0x0073;
    TYPE_CONSISTENCY_ENFORCEMENT = 0x0074;
    TYPE_INFORMATION = 0x0075;
    BUILTIN_ENDPOINT_QOS = 0x0077;
    SERVICE_INSTANCE_NAME = 0x0080;
    RELATED_ENTITY_GUID = 0x0081;
    TOPIC_ALIASES = 0x0082;
    RELATED_SAMPLE_IDENTITY = 0x0083;
    EXTENDED = 0x3f01;
    LIST_END = 0x3f02;
    IGNORE = 0x3f03;
    DOMAIN_TAG = 0x4014;
    SHM_LOCATOR = 0x8001;
}

impl ParameterId {
    const VENDOR_BIT: u16 = 0x8000;
    const MUST_UNDERSTAND_BIT: u16 = 0x4000;

    /// Defined by a vendor; means something only together with the vendor id of the sender.
    pub const fn is_vendor_specific(self) -> bool {
        self.0 & Self::VENDOR_BIT != 0
    }

    /// Whoever does not know it has to ignore all the data it comes with.
    pub const fn must_understand(self) -> bool {
        self.0 & Self::MUST_UNDERSTAND_BIT != 0
    }

    /// The parameter that this is, whether or not it demands to be understood.
    ///
    /// [`ParameterId::DOMAIN_TAG`] always demands it and stays as it is.
    pub const fn known_as(self) -> Self {
        if self.0 == Self::DOMAIN_TAG.0 { self } else { Self(self.0 & !Self::MUST_UNDERSTAND_BIT) }
    }

    /// Ends a list: the sentinel of RTPS, or that of XTypes (1.3, 7.4.1.2).
    pub const fn ends_list(self) -> bool {
        matches!(self.known_as(), Self::SENTINEL | Self::LIST_END)
    }
}

impl fmt::Display for ParameterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#06x})", self.0),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

impl fmt::Debug for ParameterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParameterId({self})")
    }
}
