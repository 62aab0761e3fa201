//! The part of a GUID that names an entity within its participant.

use std::fmt;

/// What an entity is: the last octet of its [`EntityId`].
///
/// The two top bits say who defined it (00 user, 01 vendor, 11 the specification), the low six what
/// it is. RTPS 2.5, 9.3.1.2, Table 9.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKind(pub u8);

impl EntityKind {
    /// Kind nobody knows.
    pub const UNKNOWN: Self = Self(0x00);
    /// A user's writer of a keyed topic.
    pub const USER_WRITER_WITH_KEY: Self = Self(0x02);
    /// A user's writer of a topic without key.
    pub const USER_WRITER_NO_KEY: Self = Self(0x03);
    /// A user's reader of a topic without key.
    pub const USER_READER_NO_KEY: Self = Self(0x04);
    /// A user's reader of a keyed topic.
    pub const USER_READER_WITH_KEY: Self = Self(0x07);
    /// A user's writer group: a Publisher.
    pub const USER_WRITER_GROUP: Self = Self(0x08);
    /// A user's reader group: a Subscriber.
    pub const USER_READER_GROUP: Self = Self(0x09);
    /// The participant itself.
    pub const PARTICIPANT: Self = Self(0xc1);
    /// A builtin writer of a keyed topic.
    pub const BUILTIN_WRITER_WITH_KEY: Self = Self(0xc2);
    /// A builtin writer of a topic without key.
    pub const BUILTIN_WRITER_NO_KEY: Self = Self(0xc3);
    /// A builtin reader of a topic without key.
    pub const BUILTIN_READER_NO_KEY: Self = Self(0xc4);
    /// A builtin reader of a keyed topic.
    pub const BUILTIN_READER_WITH_KEY: Self = Self(0xc7);

    /// Defined by the specification, not by a user or a vendor.
    pub fn is_builtin(self) -> bool {
        self.0 & 0xc0 == 0xc0
    }

    /// A writer, user's or builtin.
    pub fn is_writer(self) -> bool {
        matches!(self.0 & 0x3f, 0x02 | 0x03)
    }

    /// A reader, user's or builtin.
    pub fn is_reader(self) -> bool {
        matches!(self.0 & 0x3f, 0x04 | 0x07)
    }

    /// An endpoint of a keyed topic.
    pub fn has_key(self) -> bool {
        matches!(self.0 & 0x3f, 0x02 | 0x07)
    }
}

impl fmt::Debug for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityKind({:02x})", self.0)
    }
}

/// An entity within its participant: three octets of key, one of [`EntityKind`].
///
/// RTPS 2.5, 9.3.1.2 and Table 9.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId(pub [u8; 4]);

impl EntityId {
    /// No entity in particular; in a submessage: every one that matches.
    pub const UNKNOWN: Self = Self([0, 0, 0, 0]);
    /// The participant itself.
    pub const PARTICIPANT: Self = Self([0x00, 0x00, 0x01, 0xc1]);
    /// SPDP: announces participants.
    pub const SPDP_WRITER: Self = Self([0x00, 0x01, 0x00, 0xc2]);
    /// SPDP: hears of participants.
    pub const SPDP_READER: Self = Self([0x00, 0x01, 0x00, 0xc7]);
    /// SEDP: announces topics.
    pub const SEDP_TOPICS_WRITER: Self = Self([0x00, 0x00, 0x02, 0xc2]);
    /// SEDP: hears of topics.
    pub const SEDP_TOPICS_READER: Self = Self([0x00, 0x00, 0x02, 0xc7]);
    /// SEDP: announces writers.
    pub const SEDP_PUBLICATIONS_WRITER: Self = Self([0x00, 0x00, 0x03, 0xc2]);
    /// SEDP: hears of writers.
    pub const SEDP_PUBLICATIONS_READER: Self = Self([0x00, 0x00, 0x03, 0xc7]);
    /// SEDP: announces readers.
    pub const SEDP_SUBSCRIPTIONS_WRITER: Self = Self([0x00, 0x00, 0x04, 0xc2]);
    /// SEDP: hears of readers.
    pub const SEDP_SUBSCRIPTIONS_READER: Self = Self([0x00, 0x00, 0x04, 0xc7]);
    /// Writer liveliness protocol: asserts liveliness.
    pub const PARTICIPANT_MESSAGE_WRITER: Self = Self([0x00, 0x02, 0x00, 0xc2]);
    /// Writer liveliness protocol: hears assertions.
    pub const PARTICIPANT_MESSAGE_READER: Self = Self([0x00, 0x02, 0x00, 0xc7]);
    /// XTypes type lookup: sends requests.
    pub const TYPE_LOOKUP_REQUEST_WRITER: Self = Self([0x00, 0x03, 0x00, 0xc3]);
    /// XTypes type lookup: receives requests.
    pub const TYPE_LOOKUP_REQUEST_READER: Self = Self([0x00, 0x03, 0x00, 0xc4]);
    /// XTypes type lookup: sends replies.
    pub const TYPE_LOOKUP_REPLY_WRITER: Self = Self([0x00, 0x03, 0x01, 0xc3]);
    /// XTypes type lookup: receives replies.
    pub const TYPE_LOOKUP_REPLY_READER: Self = Self([0x00, 0x03, 0x01, 0xc4]);

    /// The entity with this key (its three low octets; the top one is lost) and kind.
    pub const fn new(key: u32, kind: EntityKind) -> Self {
        let [_, a, b, c] = key.to_be_bytes();
        Self([a, b, c, kind.0])
    }

    /// A user's writer.
    pub const fn user_writer(key: u32, with_key: bool) -> Self {
        Self::new(
            key,
            if with_key {
                EntityKind::USER_WRITER_WITH_KEY
            } else {
                EntityKind::USER_WRITER_NO_KEY
            },
        )
    }

    /// A user's reader.
    pub const fn user_reader(key: u32, with_key: bool) -> Self {
        Self::new(
            key,
            if with_key {
                EntityKind::USER_READER_WITH_KEY
            } else {
                EntityKind::USER_READER_NO_KEY
            },
        )
    }

    /// What the entity is.
    pub const fn kind(self) -> EntityKind {
        EntityKind(self.0[3])
    }

    /// The three octets of key, as the low part of a number.
    pub const fn key(self) -> u32 {
        u32::from_be_bytes([0, self.0[0], self.0[1], self.0[2]])
    }
}

impl fmt::Display for EntityId {
    /// Eight lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityId({self})")
    }
}
