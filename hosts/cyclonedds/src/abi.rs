//! The PSMX interface of Cyclone DDS 11.0, version 1, as C lays it out on LP64.
//!
//! A plugin sets `ops`, and what it appends to the structures; everything else is Cyclone's, and zero when
//! it is handed over. That `create_topic` and `deinit` are null is what says "version 1".

use std::ffi::{c_char, c_void};
use std::mem::{align_of, offset_of, size_of};
use std::ptr;
use std::sync::atomic::AtomicU32;

/// `dds_return_t`: 0, or one of [`retcode`].
pub(crate) type ReturnCode = i32;
/// `dds_entity_t`.
pub(crate) type EntityHandle = i32;

/// The values of `dds_return_t` that cross this interface.
pub(crate) mod retcode {
    use super::ReturnCode;

    pub(crate) const OK: ReturnCode = 0;
    pub(crate) const ERROR: ReturnCode = -1;
    pub(crate) const BAD_PARAMETER: ReturnCode = -3;
    pub(crate) const OUT_OF_RESOURCES: ReturnCode = -5;
    pub(crate) const ALREADY_DELETED: ReturnCode = -9;
    pub(crate) const TIMEOUT: ReturnCode = -10;
    pub(crate) const NOT_FOUND: ReturnCode = -60;
}

/// `dds_psmx_endpoint_type_t`.
pub(crate) mod endpoint_type {
    pub(crate) const UNSET: u32 = 0;
    #[cfg(test)]
    pub(crate) const READER: u32 = 1;
    pub(crate) const WRITER: u32 = 2;
}

/// `dds_loaned_sample_state_t`.
pub(crate) mod sample_state {
    pub(crate) const UNINITIALIZED: u32 = 0;
    pub(crate) const RAW_KEY: u32 = 1;
    pub(crate) const RAW_DATA: u32 = 2;
    pub(crate) const SERIALIZED_KEY: u32 = 3;
    pub(crate) const SERIALIZED_DATA: u32 = 4;
}

/// `dds_data_type_properties_t`: what a type has, a bit each.
pub(crate) mod props {
    /// Appendable or mutable, or with optional members: it defaults to XCDR2.
    pub(crate) const DEFAULTS_TO_XCDR2: u64 = 1 << 10;
    pub(crate) const CONTAINS_KEY: u64 = 1 << 12;
    pub(crate) const IS_MEMCPY_SAFE: u64 = 1 << 63;
}

/// `dds_loaned_sample_origin_kind`: of a PSMX plugin.
pub(crate) const ORIGIN_PSMX: u32 = 1;
/// `DDSI_RTPS_SAMPLE_NATIVE`: the sample as it is in memory.
pub(crate) const NATIVE: u16 = 0x00c0;
/// `DDS_PSMX_FEATURE_SHARED_MEMORY | DDS_PSMX_FEATURE_ZERO_COPY`.
pub(crate) const FEATURES: u32 = 1 | 2;

/// `dds_qos_t`, which only Cyclone looks into.
#[repr(C)]
pub(crate) struct Qos {
    opaque: [u8; 0],
}

/// `struct ddsi_sertype`, which only Cyclone looks into.
#[repr(C)]
pub(crate) struct Sertype {
    opaque: [u8; 0],
}

/// `struct ddsi_serdata`, which only Cyclone looks into.
#[repr(C)]
pub(crate) struct Serdata {
    opaque: [u8; 0],
}

/// `struct ddsi_type`, which only Cyclone looks into.
#[repr(C)]
pub(crate) struct Type {
    opaque: [u8; 0],
}

/// `dds_psmx_metadata_t`: what a sample is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    pub(crate) sample_state: u32,
    pub(crate) data_type: u32,
    pub(crate) instance_id: u32,
    pub(crate) sample_size: u32,
    pub(crate) guid: [u8; 16],
    pub(crate) timestamp: i64,
    pub(crate) statusinfo: u32,
    /// The two octets of the encapsulation identifier as they are on the wire, or [`NATIVE`].
    pub(crate) cdr_identifier: u16,
    /// As on the wire; the low two bits of the big-endian value are the octets of padding.
    pub(crate) cdr_options: u16,
}

impl Metadata {
    pub(crate) const EMPTY: Self = Self {
        sample_state: sample_state::UNINITIALIZED,
        data_type: 0,
        instance_id: 0,
        sample_size: 0,
        guid: [0; 16],
        timestamp: 0,
        statusinfo: 0,
        cdr_identifier: 0,
        cdr_options: 0,
    };
}

/// `dds_loaned_sample_t`: a buffer of ours in Cyclone's hands, until it calls `free`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LoanedSample {
    pub(crate) free: unsafe extern "C" fn(*mut LoanedSample),
    pub(crate) origin_kind: u32,
    pub(crate) psmx_endpoint: *mut PsmxEndpoint,
    pub(crate) metadata: *mut Metadata,
    pub(crate) sample_ptr: *mut c_void,
    pub(crate) refc: AtomicU32,
}

/// `dds_psmx_ops_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PsmxOps {
    pub(crate) type_qos_supported: unsafe extern "C" fn(*mut Psmx, u32, u64, *const Qos) -> bool,
    pub(crate) create_topic: *const c_void,
    pub(crate) delete_topic: unsafe extern "C" fn(*mut PsmxTopic) -> ReturnCode,
    pub(crate) deinit: *const c_void,
    pub(crate) get_node_id: unsafe extern "C" fn(*const Psmx) -> NodeIdentifier,
    pub(crate) supported_features: unsafe extern "C" fn(*const Psmx) -> u32,
    pub(crate) create_topic_with_type: unsafe extern "C" fn(
        *mut Psmx,
        *const c_char,
        *const c_char,
        u64,
        *const Type,
        u32,
    ) -> *mut PsmxTopic,
    pub(crate) delete_psmx: unsafe extern "C" fn(*mut Psmx),
}

/// `dds_psmx_t`.
#[repr(C)]
pub(crate) struct Psmx {
    pub(crate) ops: PsmxOps,
    pub(crate) instance_name: *const c_char,
    pub(crate) priority: i32,
    pub(crate) locator: *const c_void,
    pub(crate) instance_id: u32,
    pub(crate) psmx_topics: *mut c_void,
}

impl Psmx {
    pub(crate) fn new(ops: PsmxOps) -> Self {
        Self {
            ops,
            instance_name: ptr::null(),
            priority: 0,
            locator: ptr::null(),
            instance_id: 0,
            psmx_topics: ptr::null_mut(),
        }
    }
}

/// `dds_psmx_node_identifier_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NodeIdentifier(pub(crate) [u8; 16]);

/// `dds_psmx_topic_ops_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PsmxTopicOps {
    pub(crate) create_endpoint:
        unsafe extern "C" fn(*mut PsmxTopic, *const Qos, u32) -> *mut PsmxEndpoint,
    pub(crate) delete_endpoint: unsafe extern "C" fn(*mut PsmxEndpoint) -> ReturnCode,
}

/// `dds_psmx_topic_t`.
#[repr(C)]
pub(crate) struct PsmxTopic {
    pub(crate) ops: PsmxTopicOps,
    pub(crate) psmx_instance: *mut Psmx,
    pub(crate) topic_name: *const c_char,
    pub(crate) type_name: *const c_char,
    pub(crate) data_type: u32,
    pub(crate) psmx_endpoints: *mut c_void,
    pub(crate) data_type_props: u64,
}

impl PsmxTopic {
    pub(crate) fn new(ops: PsmxTopicOps) -> Self {
        Self {
            ops,
            psmx_instance: ptr::null_mut(),
            topic_name: ptr::null(),
            type_name: ptr::null(),
            data_type: 0,
            psmx_endpoints: ptr::null_mut(),
            data_type_props: 0,
        }
    }
}

/// `dds_psmx_endpoint_ops_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PsmxEndpointOps {
    pub(crate) request_loan: unsafe extern "C" fn(*mut PsmxEndpoint, u32) -> *mut LoanedSample,
    pub(crate) write: unsafe extern "C" fn(*mut PsmxEndpoint, *mut LoanedSample) -> ReturnCode,
    pub(crate) take: unsafe extern "C" fn(*mut PsmxEndpoint) -> *mut LoanedSample,
    pub(crate) on_data_available:
        unsafe extern "C" fn(*mut PsmxEndpoint, EntityHandle) -> ReturnCode,
    /// Null: Cyclone would serialise the key of every sample, and of several plugin instances at one
    /// writer that want keys it serves one alone.
    pub(crate) write_with_key: *const c_void,
}

/// `dds_psmx_endpoint_t`.
#[repr(C)]
pub(crate) struct PsmxEndpoint {
    pub(crate) ops: PsmxEndpointOps,
    pub(crate) psmx_topic: *mut PsmxTopic,
    pub(crate) endpoint_type: u32,
}

impl PsmxEndpoint {
    pub(crate) fn new(ops: PsmxEndpointOps) -> Self {
        Self { ops, psmx_topic: ptr::null_mut(), endpoint_type: endpoint_type::UNSET }
    }
}

/// `dds_builtintopic_endpoint_t`.
#[repr(C)]
pub(crate) struct BuiltinEndpoint {
    pub(crate) key: [u8; 16],
    pub(crate) participant_key: [u8; 16],
    pub(crate) participant_handle: u64,
    pub(crate) topic_name: *const c_char,
    pub(crate) type_name: *const c_char,
    pub(crate) qos: *const Qos,
}

#[cfg(not(all(target_pointer_width = "64", target_os = "linux")))]
compile_error!("the layouts below are those of 64-bit Linux");

/// The layouts as a C compiler has them.
macro_rules! laid_out {
    ($type:ty, $size:literal, $align:literal $(, $field:ident @ $offset:literal)* $(,)?) => {
        const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() == $align);
        $(const _: () = assert!(offset_of!($type, $field) == $offset);)*
    };
}

laid_out!(Metadata, 48, 8, sample_state @ 0, data_type @ 4, instance_id @ 8, sample_size @ 12,
    guid @ 16, timestamp @ 32, statusinfo @ 40, cdr_identifier @ 44, cdr_options @ 46);
laid_out!(LoanedSample, 48, 8, free @ 0, origin_kind @ 8, psmx_endpoint @ 16, metadata @ 24,
    sample_ptr @ 32, refc @ 40);
laid_out!(PsmxOps, 64, 8, type_qos_supported @ 0, create_topic @ 8, delete_topic @ 16, deinit @ 24,
    get_node_id @ 32, supported_features @ 40, create_topic_with_type @ 48, delete_psmx @ 56);
laid_out!(Psmx, 104, 8, ops @ 0, instance_name @ 64, priority @ 72, locator @ 80, instance_id @ 88,
    psmx_topics @ 96);
laid_out!(NodeIdentifier, 16, 1);
laid_out!(PsmxTopicOps, 16, 8, create_endpoint @ 0, delete_endpoint @ 8);
laid_out!(PsmxTopic, 64, 8, ops @ 0, psmx_instance @ 16, topic_name @ 24, type_name @ 32,
    data_type @ 40, psmx_endpoints @ 48, data_type_props @ 56);
laid_out!(PsmxEndpointOps, 40, 8, request_loan @ 0, write @ 8, take @ 16, on_data_available @ 24,
    write_with_key @ 32);
laid_out!(PsmxEndpoint, 56, 8, ops @ 0, psmx_topic @ 40, endpoint_type @ 48);
laid_out!(BuiltinEndpoint, 64, 8, key @ 0, participant_key @ 16, participant_handle @ 32,
    topic_name @ 40, type_name @ 48, qos @ 56);
