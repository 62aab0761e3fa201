//! The functions of Cyclone DDS that this plugin calls: found in the very library that called it.
//!
//! The plugin is not linked to libddsc. A process can have several copies of it (a Python wheel brings
//! its own, under a mangled name and out of the global scope), and calls into another copy than the one
//! that loaded us would meet another world. So the entry point passes its return address here: the
//! library that this lies in is asked, once for each instance.

use std::ffi::{CStr, c_char, c_void};
use std::mem::transmute_copy;
use std::ptr;

use dds_shm::wire::Guid;

use crate::abi::{
    BuiltinEndpoint, EntityHandle, LoanedSample, Qos, ReturnCode, Serdata, Sertype, Type, retcode,
};
use crate::type_description::TopicDescriptor;

/// Why the functions are not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The library lacks one.
    #[error(
        "{library} has no function {function}: it is not Cyclone DDS 11, \
         or a static one that was linked without -rdynamic"
    )]
    Missing { library: String, function: String },
}

/// A library that is loaded already; kept loaded.
#[derive(Debug)]
struct Library {
    handle: *mut c_void,
    path: String,
}

// SAFETY: a handle of `dlopen` may be used by any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// The library that `address` lies in; the global scope if that is not to be found out.
    fn of(address: *const c_void) -> Self {
        // SAFETY: a structure of pointers and integers, for which zero is a value.
        let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is written to; `dladdr` looks at no memory behind `address`.
        let is_known = unsafe { libc::dladdr(address, &raw mut info) } != 0;
        if is_known && !info.dli_fname.is_null() {
            // SAFETY: a string of the dynamic linker's, there as long as the library is loaded; and what
            // called us is loaded. It is not loaded anew, so that no code of it runs here.
            let (handle, path) = unsafe {
                let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD;
                (libc::dlopen(info.dli_fname, flags), CStr::from_ptr(info.dli_fname))
            };
            if !handle.is_null() {
                return Self { handle, path: path.to_string_lossy().into_owned() };
            }
        }
        // The main program of a static Cyclone DDS is found by no name.
        Self { handle: libc::RTLD_DEFAULT, path: "the program".to_owned() }
    }

    /// A function by its name.
    ///
    /// # Safety
    /// `F` is a function pointer of the type that the function has.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, ResolveError> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) }
        // SAFETY: a handle of `dlopen`, and a string with a NUL.
        let found = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if found.is_null() {
            let (library, function) = (self.path.clone(), name.to_string_lossy().into_owned());
            return Err(ResolveError::Missing { library, function });
        }
        // SAFETY: as large as a pointer; and of the type, as the caller promises.
        Ok(unsafe { transmute_copy::<*mut c_void, F>(&found) })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if self.handle != libc::RTLD_DEFAULT {
            // SAFETY: opened by `Library::of`, and not closed before.
            unsafe { libc::dlclose(self.handle) };
        }
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident: unsafe extern "C" fn($($argument:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// The functions of one copy of libddsc.
        #[derive(Debug)]
        pub(crate) struct Cyclone {
            $($(#[$doc])* pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Not of its interface: done without if they are not there.
            pub(crate) ddsi_topic_descriptor_from_type: Option<DescriptorFromType>,
            pub(crate) ddsi_topic_descriptor_fini: Option<DescriptorFini>,
            library: Library,
        }

        impl Cyclone {
            /// The functions of the library whose code is at `caller`.
            ///
            /// # Errors
            /// [`ResolveError::Missing`]
            pub(crate) fn of(caller: *const c_void) -> Result<Self, ResolveError> {
                let library = Library::of(caller);
                Ok(Self {
                    $(
                        // SAFETY: the type of this function in the headers of Cyclone DDS 11.0.
                        $name: unsafe {
                            library.function(
                                const {
                                    match CStr::from_bytes_with_nul(
                                        concat!(stringify!($name), "\0").as_bytes(),
                                    ) {
                                        Ok(name) => name,
                                        Err(_) => unreachable!(),
                                    }
                                },
                            )?
                        },
                    )*
                    // SAFETY: as above.
                    ddsi_topic_descriptor_from_type: unsafe {
                        library.function(c"ddsi_topic_descriptor_from_type").ok()
                    },
                    // SAFETY: as above.
                    ddsi_topic_descriptor_fini: unsafe {
                        library.function(c"ddsi_topic_descriptor_fini").ok()
                    },
                    library,
                })
            }
        }
    };
}

type DescriptorFromType =
    unsafe extern "C" fn(*mut c_void, *mut TopicDescriptor, *const Type) -> ReturnCode;
type DescriptorFini = unsafe extern "C" fn(*mut TopicDescriptor);

functions! {
    /// Puts a sample into a reader's history; takes no reference of the caller's.
    dds_reader_store_loaned_sample:
        unsafe extern "C" fn(EntityHandle, *mut LoanedSample) -> ReturnCode;
    /// The same of a writer that is not there any more, and of which this is what counts: ownership
    /// strength, whether what it unregisters is disposed of, lifespan.
    dds_reader_store_loaned_sample_wr_metadata:
        unsafe extern "C" fn(EntityHandle, *mut LoanedSample, i32, bool, i64) -> ReturnCode;
    dds_get_matched_publications:
        unsafe extern "C" fn(EntityHandle, *mut u64, usize) -> ReturnCode;
    dds_get_matched_publication_data:
        unsafe extern "C" fn(EntityHandle, u64) -> *mut BuiltinEndpoint;
    dds_builtintopic_free_endpoint: unsafe extern "C" fn(*mut BuiltinEndpoint);
    dds_get_entity_sertype: unsafe extern "C" fn(EntityHandle, *mut *const Sertype) -> ReturnCode;
    /// What a sample is for a type; null if it is none.
    ddsi_serdata_from_psmx:
        unsafe extern "C" fn(*const Sertype, *mut LoanedSample) -> *mut Serdata;
    ddsi_serdata_unref: unsafe extern "C" fn(*mut Serdata);
    dds_free: unsafe extern "C" fn(*mut c_void);
    dds_qget_durability: unsafe extern "C" fn(*const Qos, *mut u32) -> bool;
    dds_qget_durability_service: unsafe extern "C" fn(
        *const Qos, *mut i64, *mut u32, *mut i32, *mut i32, *mut i32, *mut i32) -> bool;
    dds_qget_history: unsafe extern "C" fn(*const Qos, *mut u32, *mut i32) -> bool;
    dds_qget_resource_limits:
        unsafe extern "C" fn(*const Qos, *mut i32, *mut i32, *mut i32) -> bool;
    dds_qget_reliability: unsafe extern "C" fn(*const Qos, *mut u32, *mut i64) -> bool;
    dds_qget_ownership_strength: unsafe extern "C" fn(*const Qos, *mut i32) -> bool;
    dds_qget_lifespan: unsafe extern "C" fn(*const Qos, *mut i64) -> bool;
    dds_qget_deadline: unsafe extern "C" fn(*const Qos, *mut i64) -> bool;
    dds_qget_liveliness: unsafe extern "C" fn(*const Qos, *mut u32, *mut i64) -> bool;
    dds_qget_ownership: unsafe extern "C" fn(*const Qos, *mut u32) -> bool;
    dds_qget_partition: unsafe extern "C" fn(*const Qos, *mut u32, *mut *mut *mut c_char) -> bool;
}

/// The writers that a reader is matched with.
#[derive(Debug, Default)]
pub(crate) struct MatchedWriters {
    /// The instance handles of all of them.
    pub(crate) handles: Vec<u64>,
    /// Who those are that were not known.
    pub(crate) new: Vec<(u64, MatchedWriter)>,
}

/// A writer that a reader is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatchedWriter {
    pub(crate) guid: Guid,
    pub(crate) ownership_strength: i32,
    /// Nanoseconds, as Cyclone counts.
    pub(crate) lifespan: i64,
}

impl Cyclone {
    /// Where the functions were found.
    pub(crate) fn library(&self) -> &str {
        &self.library.path
    }

    /// Whether a sample is one of a reader's type.
    ///
    /// # Safety
    /// `sample` is a loan with a reference that lasts longer than this call.
    pub(crate) unsafe fn is_sample_of(
        &self,
        reader: EntityHandle,
        sample: *mut LoanedSample,
    ) -> bool {
        let mut sertype = ptr::null();
        // SAFETY: written to. The type is there as long as the reader.
        let found = unsafe { (self.dds_get_entity_sertype)(reader, &raw mut sertype) };
        if found != retcode::OK {
            return false;
        }
        // SAFETY: a type of this library's, and the loan that the caller promises.
        let serdata = unsafe { (self.ddsi_serdata_from_psmx)(sertype, sample) };
        if !serdata.is_null() {
            // SAFETY: the only reference to it.
            unsafe { (self.ddsi_serdata_unref)(serdata) };
        }
        !serdata.is_null()
    }

    /// The writers that a reader is matched with; `None` when it is being deleted.
    pub(crate) fn matched_writers(
        &self,
        reader: EntityHandle,
        is_known: impl Fn(u64) -> bool,
    ) -> Option<MatchedWriters> {
        let mut handles: Vec<u64> = vec![0; 16];
        loop {
            // SAFETY: there is room for so many handles.
            let count = unsafe {
                (self.dds_get_matched_publications)(reader, handles.as_mut_ptr(), handles.len())
            };
            // Negative: the reader is being deleted.
            let count = usize::try_from(count).ok()?;
            if count <= handles.len() {
                handles.truncate(count);
                break;
            }
            // Some more may come meanwhile.
            handles.resize(count + 16, 0);
        }
        let mut new = Vec::new();
        for handle in handles.iter().copied().filter(|handle| !is_known(*handle)) {
            // SAFETY: a new object of Cyclone's, or null if there is no such writer any more.
            let endpoint = unsafe { (self.dds_get_matched_publication_data)(reader, handle) };
            if endpoint.is_null() {
                continue;
            }
            // SAFETY: begins with the GUID, and is this thread's until it is given back.
            unsafe {
                let qos = (*endpoint).qos;
                let (mut ownership_strength, mut lifespan) = (0, i64::MAX);
                (self.dds_qget_ownership_strength)(qos, &raw mut ownership_strength);
                (self.dds_qget_lifespan)(qos, &raw mut lifespan);
                let guid = Guid::from_bytes((*endpoint).key);
                new.push((handle, MatchedWriter { guid, ownership_strength, lifespan }));
                (self.dds_builtintopic_free_endpoint)(endpoint);
            }
        }
        Some(MatchedWriters { handles, new })
    }

    /// The names of the partitions in a QoS.
    ///
    /// # Safety
    /// `qos` is a QoS of this library's.
    pub(crate) unsafe fn partitions(&self, qos: *const Qos) -> Vec<String> {
        let (mut count, mut names) = (0, ptr::null_mut());
        // SAFETY: a QoS of Cyclone's; both are written to.
        let is_there = unsafe { (self.dds_qget_partition)(qos, &raw mut count, &raw mut names) };
        if !is_there || names.is_null() {
            return Vec::new();
        }
        let mut partitions = Vec::new();
        for at in 0..count as usize {
            // SAFETY: an array of `count` strings, all of them the caller's to free.
            unsafe {
                let name = *names.add(at);
                if !name.is_null() {
                    partitions.push(CStr::from_ptr(name).to_string_lossy().into_owned());
                    (self.dds_free)(name.cast());
                }
            }
        }
        // SAFETY: as above.
        unsafe { (self.dds_free)(names.cast()) };
        partitions
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_library_is_found_by_an_address_in_it() {
        let libc = Library::of(libc::strlen as *const c_void);
        assert!(libc.path.contains("libc"), "{}", libc.path);
        // SAFETY: the type that it has.
        let strlen: unsafe extern "C" fn(*const c_char) -> usize =
            unsafe { libc.function(c"strlen") }.unwrap();
        // SAFETY: a string with a NUL.
        assert_eq!(unsafe { strlen(c"four".as_ptr()) }, 4);
    }

    #[test]
    fn what_is_not_cyclone_is_told_by_name() {
        let error = Cyclone::of(libc::strlen as *const c_void).unwrap_err().to_string();
        assert!(error.contains("dds_reader_store_loaned_sample"), "{error}");
    }
}
