//! Taking a message apart.

use super::{AckNack, Data, DataFrag, Gap, Heartbeat, RtpsHeader, Submessage, SubmessageKind};
use crate::wire::cdr::{CdrReader, CdrValue};
use crate::wire::{
    Endianness, GuidPrefix, ParameterList, ProtocolVersion, Time, VendorId, WireError,
};

/// How a submessage is to be understood: what the header and the submessages before it said.
/// RTPS 2.5, 8.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverState {
    /// What the sender speaks.
    pub source_version: ProtocolVersion,
    /// Who made the sender.
    pub source_vendor_id: VendorId,
    /// The sender.
    pub source_guid_prefix: GuidPrefix,
    /// The participant that is meant; [`GuidPrefix::UNKNOWN`]: every one that hears it.
    pub dest_guid_prefix: GuidPrefix,
    /// When the samples were written, if the sender says.
    pub timestamp: Option<Time>,
}

impl ReceiverState {
    /// Whether the participant `prefix` is meant.
    pub fn is_for(&self, prefix: GuidPrefix) -> bool {
        self.dest_guid_prefix == GuidPrefix::UNKNOWN || self.dest_guid_prefix == prefix
    }
}

/// A submessage, and how to understand it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What was said before.
    pub state: ReceiverState,
    /// What is said now.
    pub submessage: Submessage<'a>,
}

/// Iterates over the submessages of a datagram that concern an endpoint.
///
/// Submessages that are not known are skipped. The first one that is malformed gives an error and
/// ends the iteration; those before it stand (RTPS 2.5, 8.3.4.1).
///
/// ```
/// use dds_shm::wire::message::{MessageReader, Submessage};
///
/// # fn received(datagram: &[u8]) -> Result<(), dds_shm::wire::WireError> {
/// for received in MessageReader::new(datagram)? {
///     let received = received?;
///     if let Submessage::Data(data) = received.submessage {
///         println!("{} from {}", data.writer_sn, received.state.source_guid_prefix);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MessageReader<'a> {
    header: RtpsHeader,
    state: ReceiverState,
    /// What has not been read yet; empty after an error.
    rest: &'a [u8],
}

const FLAG_ENDIANNESS: u8 = 0x01;
const FLAG_INVALIDATE: u8 = 0x02;

impl<'a> MessageReader<'a> {
    /// Begins with the header of a datagram.
    ///
    /// # Errors
    ///
    /// As [`RtpsHeader::parse`].
    pub fn new(datagram: &'a [u8]) -> Result<Self, WireError> {
        let header = RtpsHeader::parse(datagram)?;
        let state = ReceiverState {
            source_version: header.version,
            source_vendor_id: header.vendor_id,
            source_guid_prefix: header.guid_prefix,
            dest_guid_prefix: GuidPrefix::UNKNOWN,
            timestamp: None,
        };
        let rest = datagram.get(RtpsHeader::LENGTH..).unwrap_or(&[]);
        Ok(Self { header, state, rest })
    }

    /// The header of the message.
    pub fn header(&self) -> &RtpsHeader {
        &self.header
    }

    /// Reads one submessage; `None` if it only changed the state, or is not known.
    fn step(&mut self) -> Result<Option<Submessage<'a>>, WireError> {
        let mut reader = CdrReader::new(self.rest, Endianness::Big);
        let [kind, flags, length @ ..] = reader.read_array::<4>()?;
        let kind = SubmessageKind(kind);
        let endianness = Endianness::from_flag(flags & FLAG_ENDIANNESS != 0);
        let may_be_empty = matches!(kind, SubmessageKind::PAD | SubmessageKind::INFO_TS);
        let length = match endianness.u16(length) {
            0 if !may_be_empty => reader.remaining().len(),
            length => length.into(),
        };
        let body = CdrReader::new(reader.read_slice(length, "submessage")?, endianness);
        self.rest = reader.remaining();
        Ok(Some(match kind {
            SubmessageKind::DATA => Submessage::Data(Data::parse(flags, body)?),
            SubmessageKind::DATA_FRAG => Submessage::DataFrag(DataFrag::parse(flags, body)?),
            SubmessageKind::HEARTBEAT => Submessage::Heartbeat(Heartbeat::parse(flags, body)?),
            SubmessageKind::ACKNACK => Submessage::AckNack(AckNack::parse(flags, body)?),
            SubmessageKind::GAP => Submessage::Gap(Gap::parse(body)?),
            _ => {
                self.change_state(kind, flags, body)?;
                return Ok(None);
            }
        }))
    }

    fn change_state(
        &mut self,
        kind: SubmessageKind,
        flags: u8,
        mut body: CdrReader<'a>,
    ) -> Result<(), WireError> {
        match kind {
            SubmessageKind::INFO_TS if flags & FLAG_INVALIDATE != 0 => self.state.timestamp = None,
            SubmessageKind::INFO_TS => {
                let time = Time::read(&mut body)?;
                self.state.timestamp = (time != Time::INVALID).then_some(time);
            }
            SubmessageKind::INFO_DST => self.state.dest_guid_prefix = GuidPrefix::read(&mut body)?,
            SubmessageKind::INFO_SRC => {
                let _unused = body.read_u32()?;
                self.state.source_version = ProtocolVersion::read(&mut body)?;
                self.state.source_vendor_id = VendorId::read(&mut body)?;
                self.state.source_guid_prefix = GuidPrefix::read(&mut body)?;
                self.state.timestamp = None;
            }
            SubmessageKind::HEADER_EXTENSION => check_header_extension(flags, body)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Iterator for MessageReader<'a> {
    type Item = Result<Received<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.step() {
                Ok(Some(submessage)) => {
                    return Some(Ok(Received { state: self.state, submessage }));
                }
                Ok(None) => {}
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A parameter of a HeaderExtension that must be understood makes the whole message unreadable;
/// nothing else in it matters here. RTPS 2.5, 9.4.5.2 and 9.4.2.11.2.
fn check_header_extension(flags: u8, mut body: CdrReader<'_>) -> Result<(), WireError> {
    const PARAMETERS: u8 = 0x80;
    if flags & PARAMETERS == 0 {
        return Ok(());
    }
    let message_length = if flags & 0x02 != 0 { 4 } else { 0 };
    let send_timestamp = if flags & 0x04 != 0 { 8 } else { 0 };
    let extension4 = if flags & 0x08 != 0 { 4 } else { 0 };
    let extension8 = if flags & 0x10 != 0 { 8 } else { 0 };
    let checksum = match flags & 0x60 {
        0x00 => 0,
        0x20 => 4,
        0x40 => 8,
        _ => 16,
    };
    let fixed = message_length + send_timestamp + extension4 + extension8 + checksum;
    body.read_slice(fixed, "HeaderExtension")?;
    let (list, _) = ParameterList::parse(body.remaining(), body.endianness())?;
    list.iter().try_for_each(|parameter| parameter.skip_unknown())
}
