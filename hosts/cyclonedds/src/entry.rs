//! The functions that Cyclone calls.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use crate::abi::{
    EntityHandle, FEATURES, LoanedSample, NodeIdentifier, Psmx, PsmxEndpoint, PsmxEndpointOps,
    PsmxOps, PsmxTopic, PsmxTopicOps, Qos, ReturnCode, Type, endpoint_type, retcode,
};
use crate::guard::guarded;
use crate::instance::Instance;
use crate::log;
use crate::options::Options;
use crate::qos::check;
use crate::reader::Reader;
use crate::receiver::Receiver;
use crate::topic::Topic;
use crate::writer::{Writer, loan_of};

/// An instance in Cyclone's hands. Begins with what Cyclone knows of it; so do the others.
#[repr(C)]
struct PsmxInstance {
    abi: Psmx,
    instance: Arc<Instance>,
}

#[repr(C)]
struct InstanceTopic {
    abi: PsmxTopic,
    topic: Arc<Topic>,
    instance: Arc<Instance>,
}

#[repr(C)]
struct Endpoint {
    abi: PsmxEndpoint,
    instance: Arc<Instance>,
    role: Role,
    /// The thread of this reader alone, if the options give it one.
    receiver: OnceLock<Receiver>,
}

enum Role {
    Writer(Arc<Writer>),
    Reader(Arc<Reader>),
}

/// Makes an instance of the plugin: what Cyclone DDS looks for in a library of type `dds_shm`.
///
/// It leads on to `create`, and takes along from where it was called.
///
/// # Safety
/// For Cyclone DDS 11 alone.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dds_shm_create_psmx(
    out: *mut *mut c_void,
    instance_id: u32,
    config: *const c_char,
) -> i32 {
    // The return address is on the stack, the fourth argument in rcx.
    std::arch::naked_asm!("mov rcx, [rsp]", "jmp {create}", create = sym create)
}

/// As on x86_64.
///
/// # Safety
/// For Cyclone DDS 11 alone.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dds_shm_create_psmx(
    out: *mut *mut c_void,
    instance_id: u32,
    config: *const c_char,
) -> i32 {
    // The return address is in the link register, the fourth argument in x3.
    std::arch::naked_asm!("mov x3, x30", "b {create}", create = sym create)
}

/// Elsewhere the functions of Cyclone DDS are looked for in the global scope.
///
/// # Safety
/// For Cyclone DDS 11 alone.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dds_shm_create_psmx(
    out: *mut *mut c_void,
    instance_id: u32,
    config: *const c_char,
) -> i32 {
    // SAFETY: as for this function.
    unsafe { create(out, instance_id, config, ptr::null()) }
}

/// # Safety
/// `out` is for a pointer; `config` is a sequence of strings that ends with an empty one, which is not
/// the first; `caller` is where Cyclone's code is.
unsafe extern "C" fn create(
    out: *mut *mut c_void,
    instance_id: u32,
    config: *const c_char,
    caller: *const c_void,
) -> ReturnCode {
    guarded("creating an instance", retcode::ERROR, || {
        // SAFETY: as the caller promises.
        let strings = unsafe { strings(config) };
        let options = Options::parse(strings.iter().map(String::as_str));
        log::enable(options.log_level);
        for complaint in &options.complaints {
            tracing::warn!(instance = options.instance_name, "config: {complaint}");
        }
        // Whatever is wrong with shared memory: an error here would be the end of the application.
        let instance = Instance::new(caller, instance_id, options);
        let psmx = Box::new(PsmxInstance { abi: Psmx::new(PSMX_OPS), instance });
        // SAFETY: as the caller promises.
        unsafe { *out = Box::into_raw(psmx).cast() };
        retcode::OK
    })
}

/// # Safety
/// As for `config` of [`create`].
unsafe fn strings(config: *const c_char) -> Vec<String> {
    let mut strings = Vec::new();
    if config.is_null() {
        return strings;
    }
    let mut next = config;
    loop {
        // SAFETY: in the sequence, whose end is not passed.
        let string = unsafe { CStr::from_ptr(next) };
        if string.is_empty() && !strings.is_empty() {
            return strings;
        }
        strings.push(string.to_string_lossy().into_owned());
        // SAFETY: behind each string there is another one, until that is empty.
        next = unsafe { next.add(string.count_bytes() + 1) };
    }
}

const PSMX_OPS: PsmxOps = PsmxOps {
    type_qos_supported,
    create_topic: ptr::null(),
    delete_topic,
    deinit: ptr::null(),
    get_node_id,
    supported_features,
    create_topic_with_type,
    delete_psmx,
};

const TOPIC_OPS: PsmxTopicOps = PsmxTopicOps { create_endpoint, delete_endpoint };

const ENDPOINT_OPS: PsmxEndpointOps =
    PsmxEndpointOps { request_loan, write, take, on_data_available, write_with_key: ptr::null() };

/// # Safety
/// `psmx` was made by [`create`], and is not deleted.
unsafe fn instance_of<'p>(psmx: *const Psmx) -> &'p Arc<Instance> {
    // SAFETY: as the caller promises.
    unsafe { &(*psmx.cast::<PsmxInstance>()).instance }
}

/// # Safety
/// `endpoint` was made by [`create_endpoint`], and is not deleted.
unsafe fn endpoint_of<'e>(endpoint: *const PsmxEndpoint) -> &'e Endpoint {
    // SAFETY: as the caller promises.
    unsafe { &*endpoint.cast::<Endpoint>() }
}

unsafe extern "C" fn type_qos_supported(
    psmx: *mut Psmx,
    kind: u32,
    properties: u64,
    qos: *const Qos,
) -> bool {
    guarded("asking for support", false, || {
        // SAFETY: Cyclone passes what it got, and a QoS.
        let instance = unsafe { instance_of(psmx) };
        let Some(engine) = instance.engine() else { return false };
        // SAFETY: as above.
        let qos = unsafe { engine.cyclone.qos(kind, qos) };
        match check(kind, properties, &qos, &instance.options) {
            Ok(()) => true,
            Err(reason) => {
                tracing::info!(instance = instance.options.instance_name, "by network: {reason}");
                false
            }
        }
    })
}

unsafe extern "C" fn get_node_id(psmx: *const Psmx) -> NodeIdentifier {
    guarded("asking for the node", NodeIdentifier([0; 16]), || {
        // SAFETY: Cyclone passes what it got.
        NodeIdentifier(unsafe { instance_of(psmx) }.node_id())
    })
}

unsafe extern "C" fn supported_features(_psmx: *const Psmx) -> u32 {
    FEATURES
}

unsafe extern "C" fn create_topic_with_type(
    psmx: *mut Psmx,
    topic_name: *const c_char,
    type_name: *const c_char,
    properties: u64,
    definition: *const Type,
    size: u32,
) -> *mut PsmxTopic {
    guarded("creating a topic", ptr::null_mut(), || {
        // SAFETY: Cyclone passes what it got, and strings.
        let (instance, name, type_name) =
            unsafe { (instance_of(psmx), CStr::from_ptr(topic_name), CStr::from_ptr(type_name)) };
        let (name, type_name) = (name.to_string_lossy(), type_name.to_string_lossy());
        // SAFETY: Cyclone passes the type, or nothing.
        let description =
            instance.engine().and_then(|engine| unsafe { engine.cyclone.describe(definition) });
        let topic = Topic::new(&name, &type_name, properties, size, description.as_ref());
        let topic = InstanceTopic {
            abi: PsmxTopic::new(TOPIC_OPS),
            topic: Arc::new(topic),
            instance: Arc::clone(instance),
        };
        Box::into_raw(Box::new(topic)).cast()
    })
}

unsafe extern "C" fn delete_topic(topic: *mut PsmxTopic) -> ReturnCode {
    guarded("deleting a topic", retcode::ERROR, || {
        // SAFETY: made by `create_topic_with_type`, and not used again.
        drop(unsafe { Box::from_raw(topic.cast::<InstanceTopic>()) });
        retcode::OK
    })
}

unsafe extern "C" fn delete_psmx(psmx: *mut Psmx) {
    guarded("deleting an instance", (), || {
        // SAFETY: made by `create`, and not used again.
        let psmx = unsafe { Box::from_raw(psmx.cast::<PsmxInstance>()) };
        if let Some(engine) = psmx.instance.engine() {
            engine.receiver.stop();
        }
    });
}

unsafe extern "C" fn create_endpoint(
    topic: *mut PsmxTopic,
    qos: *const Qos,
    kind: u32,
) -> *mut PsmxEndpoint {
    guarded("creating an endpoint", ptr::null_mut(), || {
        // SAFETY: made by `create_topic_with_type`, and not deleted.
        let InstanceTopic { topic, instance, .. } = unsafe { &*topic.cast::<InstanceTopic>() };
        let Some(engine) = instance.engine() else { return ptr::null_mut() };
        // SAFETY: Cyclone passes a QoS.
        let qos = unsafe { engine.cyclone.qos(kind, qos) };
        let role = if kind == endpoint_type::WRITER {
            Role::Writer(Writer::new(Arc::clone(instance), Arc::clone(topic), qos))
        } else {
            match Reader::new(instance, engine, Arc::clone(topic), qos) {
                Ok(reader) => Role::Reader(reader),
                Err(error) => {
                    tracing::error!(topic = topic.name, "no reader can be made: {error}");
                    return ptr::null_mut();
                }
            }
        };
        let instance = Arc::clone(instance);
        let (abi, receiver) = (PsmxEndpoint::new(ENDPOINT_OPS), OnceLock::new());
        let endpoint = Endpoint { abi, instance, role, receiver };
        Box::into_raw(Box::new(endpoint)).cast()
    })
}

unsafe extern "C" fn delete_endpoint(endpoint: *mut PsmxEndpoint) -> ReturnCode {
    guarded("deleting an endpoint", retcode::ERROR, || {
        // SAFETY: made by `create_endpoint`, and not used again.
        let endpoint = unsafe { Box::from_raw(endpoint.cast::<Endpoint>()) };
        match &endpoint.role {
            Role::Writer(writer) => writer.close(),
            Role::Reader(reader) => {
                if let Some(receiver) = endpoint.receiver.get() {
                    receiver.remove(reader);
                    receiver.stop();
                } else if let Some(engine) = endpoint.instance.engine() {
                    engine.receiver.remove(reader);
                }
            }
        }
        retcode::OK
    })
}

unsafe extern "C" fn request_loan(endpoint: *mut PsmxEndpoint, size: u32) -> *mut LoanedSample {
    guarded("loaning", ptr::null_mut(), || {
        // SAFETY: Cyclone passes what it got.
        let Role::Writer(writer) = &unsafe { endpoint_of(endpoint) }.role else {
            return ptr::null_mut();
        };
        writer.loan(size).map_or(ptr::null_mut(), |loan| loan.into_raw(endpoint))
    })
}

unsafe extern "C" fn write(endpoint: *mut PsmxEndpoint, loan: *mut LoanedSample) -> ReturnCode {
    guarded("writing", retcode::ERROR, || {
        // SAFETY: Cyclone passes what it got, and holds the writer's lock.
        let (endpoint, loan) = unsafe { (endpoint_of(endpoint), loan_of(loan)) };
        match (&endpoint.role, loan) {
            (Role::Writer(writer), Some(loan)) => writer.write(loan),
            _ => retcode::BAD_PARAMETER,
        }
    })
}

/// Cyclone never calls this: samples are pushed.
unsafe extern "C" fn take(_endpoint: *mut PsmxEndpoint) -> *mut LoanedSample {
    ptr::null_mut()
}

unsafe extern "C" fn on_data_available(
    endpoint: *mut PsmxEndpoint,
    entity: EntityHandle,
) -> ReturnCode {
    guarded("starting a reader", retcode::ERROR, || {
        // SAFETY: Cyclone passes what it got.
        let Endpoint { instance, role: Role::Reader(reader), receiver, .. } =
            (unsafe { endpoint_of(endpoint) })
        else {
            return retcode::BAD_PARAMETER;
        };
        let Some(engine) = instance.engine() else { return retcode::ERROR };
        reader.open(entity);
        let receiver = if instance.options.thread_per_reader {
            receiver.get_or_init(|| engine.new_receiver())
        } else {
            &engine.receiver
        };
        match receiver.add(Arc::clone(reader), instance) {
            Ok(()) => retcode::OK,
            Err(error) => {
                tracing::error!("no thread for the readers: {error}");
                retcode::OUT_OF_RESOURCES
            }
        }
    })
}
