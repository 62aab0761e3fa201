//! Values that have one form in CDR.

use super::{CdrReader, CdrWriter};
use crate::wire::{
    Duration, EntityId, Guid, GuidPrefix, KeyHash, Locator, LocatorKind, ProtocolVersion,
    SequenceNumber, StatusInfo, Time, VendorId, WireError,
};

/// A value with one form in CDR: what a parameter or a field of a submessage holds.
pub trait CdrValue: Sized {
    /// Reads one.
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError>;

    /// Writes it.
    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError>;
}

impl CdrValue for u32 {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        reader.read_u32()
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_u32(*self);
        Ok(())
    }
}

impl CdrValue for i32 {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        reader.read_i32()
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_i32(*self);
        Ok(())
    }
}

impl CdrValue for bool {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        reader.read_bool()
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_bool(*self);
        Ok(())
    }
}

impl CdrValue for String {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        reader.read_string().map(str::to_owned)
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_string(self)
    }
}

/// Implements [`CdrValue`] for a type that is an array of octets, or is made from one.
macro_rules! octets {
    ($($type:ty, $from:expr, $to:expr;)*) => {$(
        impl CdrValue for $type {
            fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
                reader.read_array().map($from)
            }

            fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
                writer.write_slice(&$to(*self));
                Ok(())
            }
        }
    )*};
}

octets! {
    GuidPrefix, GuidPrefix, |value: GuidPrefix| value.0;
    EntityId, EntityId, |value: EntityId| value.0;
    Guid, Guid::from_bytes, Guid::to_bytes;
    VendorId, VendorId, |value: VendorId| value.0;
    ProtocolVersion, ProtocolVersion::from_bytes, ProtocolVersion::to_bytes;
    KeyHash, KeyHash, |value: KeyHash| value.0;
    StatusInfo, StatusInfo::from_bytes, StatusInfo::to_bytes;
}

impl CdrValue for SequenceNumber {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        Ok(Self::from_halves(reader.read_i32()?, reader.read_u32()?))
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_i32(self.high());
        writer.write_u32(self.low());
        Ok(())
    }
}

impl CdrValue for Duration {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        Ok(Self::new(reader.read_i32()?, reader.read_u32()?))
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_i32(self.seconds());
        writer.write_u32(self.fraction());
        Ok(())
    }
}

impl CdrValue for Time {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        Ok(Self { seconds: reader.read_u32()?, fraction: reader.read_u32()? })
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_u32(self.seconds);
        writer.write_u32(self.fraction);
        Ok(())
    }
}

impl CdrValue for Locator {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            kind: LocatorKind(reader.read_i32()?),
            port: reader.read_u32()?,
            address: reader.read_array()?,
        })
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_i32(self.kind.0);
        writer.write_u32(self.port);
        writer.write_slice(&self.address);
        Ok(())
    }
}
