//! What Cyclone knows of a type: its description as others would be sent it.
//!
//! The interface hands over a `struct ddsi_type`, and has one function that makes something of it which
//! can be read outside of Cyclone; that wants the domain, to which the type has a pointer. So this looks
//! into a structure that is Cyclone's own, at the few offsets that it has in every 11.0, and uses what is
//! there only if everything around it looks as it has to. Without the description samples go through
//! shared memory all the same; their segment then has no type hash.

use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of, size_of};

use crate::abi::{Type, retcode};
use crate::cyclone::Cyclone;

/// `EK_COMPLETE`, `DDSI_TYPEID_KIND_COMPLETE`, the last of `enum ddsi_type_state`.
const COMPLETE: u8 = 0xf2;
const KIND_COMPLETE: u32 = 1;
const LAST_STATE: u32 = 5;
/// More references than a type ever has.
const MANY: u32 = 1 << 20;

/// `struct ddsi_type` of Cyclone DDS 11.0, as far as it is looked at.
#[repr(C)]
struct TypeRecord {
    /// The discriminator of the type's identifier.
    identifier: u8,
    padding: [u8; 7],
    equivalence_hash: [u8; 14],
    rest_of_identifier: [u8; 26],
    kind: u32,
    rest_of_type: [u8; 380],
    domain: *mut c_void,
    node: [u8; 32],
    state: u32,
    proxies: [u8; 36],
    references: u32,
}

const _: () = assert!(
    offset_of!(TypeRecord, kind) == 48
        && offset_of!(TypeRecord, domain) == 432
        && offset_of!(TypeRecord, state) == 472
        && offset_of!(TypeRecord, references) == 512
);

/// `struct dds_type_meta_ser`.
#[repr(C)]
pub(crate) struct Serialized {
    data: *const u8,
    size: u32,
}

/// `dds_topic_descriptor_t`.
#[repr(C)]
pub(crate) struct TopicDescriptor {
    size: u32,
    align: u32,
    flags: u32,
    keys: u32,
    type_name: *const c_void,
    key_descriptors: *const c_void,
    op_count: u32,
    ops: *const u32,
    meta: *const c_void,
    type_information: Serialized,
    type_mapping: Serialized,
    data_representation: u32,
}

const _: () = assert!(
    size_of::<TopicDescriptor>() == 96
        && offset_of!(TopicDescriptor, ops) == 40
        && offset_of!(TopicDescriptor, type_mapping) == 72
        && size_of::<Serialized>() == 16
);

/// What is known of a type.
#[derive(Debug)]
pub(crate) struct Description {
    /// XTypes EquivalenceHash of the complete type.
    pub(crate) equivalence_hash: [u8; 14],
    /// Its serialised TypeMapping.
    pub(crate) type_mapping: Vec<u8>,
}

impl Cyclone {
    /// What is known of a type; `None` if that is nothing.
    ///
    /// # Safety
    /// `definition` is null, or a type of this library's.
    pub(crate) unsafe fn describe(&self, definition: *const Type) -> Option<Description> {
        let (from_type, free) =
            (self.ddsi_topic_descriptor_from_type?, self.ddsi_topic_descriptor_fini?);
        // SAFETY: as the caller promises, it is one of Cyclone's records, which is larger than this.
        let record = unsafe { definition.cast::<TypeRecord>().as_ref() }?;
        let looks_right = record.identifier == COMPLETE
            && record.kind == KIND_COMPLETE
            && record.state <= LAST_STATE
            && (1..MANY).contains(&record.references)
            && !record.domain.is_null()
            && record.domain.is_aligned();
        if !looks_right {
            return None;
        }
        let mut descriptor = MaybeUninit::<TopicDescriptor>::zeroed();
        // SAFETY: the type, the domain that it is of, and room for the descriptor.
        let made = unsafe { from_type(record.domain, descriptor.as_mut_ptr(), definition) };
        if made != retcode::OK {
            return None;
        }
        // SAFETY: zero is a value of it, and it was filled in.
        let descriptor = unsafe { descriptor.assume_init_mut() };
        let Serialized { data, size } = descriptor.type_mapping;
        let mapping = if data.is_null() {
            None
        } else {
            // SAFETY: so many octets of Cyclone's, which stay until the descriptor goes.
            Some(unsafe { std::slice::from_raw_parts(data, size as usize) }.to_vec())
        };
        // SAFETY: made by the call above, and not used again.
        unsafe { free(descriptor) };
        let equivalence_hash = record.equivalence_hash;
        Some(Description { equivalence_hash, type_mapping: mapping? })
    }
}
