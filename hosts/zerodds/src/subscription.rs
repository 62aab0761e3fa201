//! A `DataReader` of ZeroDDS that reads a segment.

use std::fmt;
use std::sync::Arc;

use zerodds_dcps::{DataReader, DdsType};
use zerodds_flatdata::FlatStruct;

use crate::ReaderSlots;

/// A `DataReader` whose `read_flat` takes from a segment. Dropping it leaves the segment.
pub struct Subscription<T: DdsType + FlatStruct + Send + Sync + 'static> {
    reader: DataReader<T>,
    slots: Arc<ReaderSlots>,
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> Subscription<T> {
    pub(crate) fn new(reader: &DataReader<T>, slots: ReaderSlots) -> Self {
        let slots = Arc::new(slots);
        reader.set_flat_backend(Some(Arc::clone(&slots) as _), 0);
        Self { reader: reader.clone(), slots }
    }

    /// The segment behind ZeroDDS's trait.
    #[must_use]
    pub fn slots(&self) -> &Arc<ReaderSlots> {
        &self.slots
    }
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.reader.set_flat_backend(None, 0);
    }
}
