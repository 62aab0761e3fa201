//! Tests of dds-shm between processes and between vendors.
