//! The form of the policies in parameters. RTPS 2.5, 9.6.3.2; XTypes 1.3, 7.6.3.

use super::*;
use crate::wire::WireError;
use crate::wire::cdr::{CdrReader, CdrValue, CdrWriter};

/// Implements [`CdrValue`] for an enumeration, sent as a `u32`.
macro_rules! enumeration {
    ($type:ident, $what:literal: $($variant:ident = $value:literal),*) => {
        impl CdrValue for $type {
            fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
                match reader.read_u32()? {
                    $($value => Ok(Self::$variant),)*
                    other => Err(WireError::InvalidValue { what: $what, value: other.into() }),
                }
            }

            fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
                writer.write_u32(match self {
                    $(Self::$variant => $value,)*
                });
                Ok(())
            }
        }
    };
}

/// Implements [`CdrValue`] for a structure, sent as its fields in their order.
macro_rules! structure {
    ($type:ident: $($field:tt),*) => {
        impl CdrValue for $type {
            fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
                Ok(Self { $($field: CdrValue::read(reader)?),* })
            }

            fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
                $(self.$field.write(writer)?;)*
                Ok(())
            }
        }
    };
}

// DDS counts reliability from 0, the wire from 1.
enumeration!(ReliabilityKind, "kind of RELIABILITY": BestEffort = 1, Reliable = 2);
enumeration!(Durability, "DURABILITY":
    Volatile = 0, TransientLocal = 1, Transient = 2, Persistent = 3);
enumeration!(HistoryKind, "kind of HISTORY": KeepLast = 0, KeepAll = 1);
enumeration!(LivelinessKind, "kind of LIVELINESS":
    Automatic = 0, ManualByParticipant = 1, ManualByTopic = 2);
enumeration!(Ownership, "OWNERSHIP": Shared = 0, Exclusive = 1);
enumeration!(DestinationOrder, "DESTINATION_ORDER":
    ByReceptionTimestamp = 0, BySourceTimestamp = 1);
enumeration!(PresentationScope, "access scope of PRESENTATION":
    Instance = 0, Topic = 1, Group = 2);

structure!(Reliability: kind, max_blocking_time);
structure!(History: kind, depth);
structure!(ResourceLimits: max_samples, max_instances, max_samples_per_instance);
structure!(DurabilityService: service_cleanup_delay, history, resource_limits);
structure!(Deadline: period);
structure!(LatencyBudget: duration);
structure!(Liveliness: kind, lease_duration);
structure!(Lifespan: duration);
structure!(OwnershipStrength: 0);
structure!(Presentation: access_scope, coherent_access, ordered_access);
structure!(TimeBasedFilter: minimum_separation);
structure!(TransportPriority: 0);

impl CdrValue for Partition {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        reader.read_string_sequence().map(Self)
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_string_sequence(&self.0)
    }
}

impl CdrValue for DataRepresentation {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        let length = reader.read_sequence_length(2)?;
        (0..length)
            .map(|_| reader.read_i16().map(DataRepresentationId))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_length(self.0.len(), "DATA_REPRESENTATION")?;
        self.0.iter().for_each(|id| writer.write_i16(id.0));
        Ok(())
    }
}

impl CdrValue for TypeConsistency {
    /// XTypes 1.1 sent the kind alone; the rest is then as by default. A kind from a vendor (RTI has
    /// one more) is taken for coercion: nothing here depends on it, and to refuse it would make a
    /// reader invisible.
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        let kind = match reader.read_u16()? {
            0 => TypeConsistencyKind::DisallowTypeCoercion,
            _ => TypeConsistencyKind::AllowTypeCoercion,
        };
        if reader.remaining().len() < 5 {
            return Ok(Self { kind, ..Self::default() });
        }
        Ok(Self {
            kind,
            ignore_sequence_bounds: reader.read_bool()?,
            ignore_string_bounds: reader.read_bool()?,
            ignore_member_names: reader.read_bool()?,
            prevent_type_widening: reader.read_bool()?,
            force_type_validation: reader.read_bool()?,
        })
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        writer.write_u16(match self.kind {
            TypeConsistencyKind::DisallowTypeCoercion => 0,
            TypeConsistencyKind::AllowTypeCoercion => 1,
        });
        writer.write_bool(self.ignore_sequence_bounds);
        writer.write_bool(self.ignore_string_bounds);
        writer.write_bool(self.ignore_member_names);
        writer.write_bool(self.prevent_type_widening);
        writer.write_bool(self.force_type_validation);
        Ok(())
    }
}
