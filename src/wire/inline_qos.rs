//! What is said about one sample, in front of it.

use super::{
    Endianness, KeyHash, ParameterId, ParameterList, ParameterListBuilder, StatusInfo, WireError,
};

/// The inline QoS of a sample, as far as it is used here: which instance, and what became of it.
///
/// RTPS 2.5, 9.6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct InlineQos {
    /// The instance. PID_KEY_HASH.
    pub key_hash: Option<KeyHash>,
    /// Disposed, unregistered, filtered. PID_STATUS_INFO; absent: none of them.
    pub status_info: Option<StatusInfo>,
}

impl InlineQos {
    /// Takes what is used here out of a list; everything else is skipped.
    ///
    /// # Errors
    ///
    /// [`WireError::MustUnderstand`] if there is a parameter that must be understood and is not:
    /// the sample has to be ignored. Others if a known one is malformed or there twice.
    pub fn from_list(list: &ParameterList<'_>) -> Result<Self, WireError> {
        let mut qos = Self::default();
        for parameter in list.iter() {
            match parameter.id.known_as() {
                ParameterId::KEY_HASH => parameter.read_once(&mut qos.key_hash)?,
                ParameterId::STATUS_INFO => parameter.read_once(&mut qos.status_info)?,
                _ => parameter.skip_unknown()?,
            }
        }
        Ok(qos)
    }

    /// The list, with its sentinel.
    ///
    /// # Errors
    ///
    /// None in practice: both values are short.
    pub fn to_list(&self, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        let mut list = ParameterListBuilder::new(endianness);
        if let Some(key_hash) = &self.key_hash {
            list.value(ParameterId::KEY_HASH, key_hash)?;
        }
        if let Some(status_info) = &self.status_info {
            list.value(ParameterId::STATUS_INFO, status_info)?;
        }
        Ok(list.finish())
    }
}
