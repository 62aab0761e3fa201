//! Parameter lists, and the values in them.

use dds_shm::wire::cdr::CdrValue;
use dds_shm::wire::qos::{DataRepresentation, Partition, TypeConsistency};
use dds_shm::wire::{
    Duration, Endianness, Guid, InlineQos, KeyHash, Locator, Parameter, ParameterList,
    ParameterListBuilder, SequenceNumber, StatusInfo, Time,
};

/// A list that is understood can be written again and is then the same; every value in it can be
/// read as anything.
pub fn run(input: &[u8]) {
    if let Ok(list) = ParameterList::from_payload(input) {
        check(&list);
    }
    for endianness in [Endianness::Little, Endianness::Big] {
        if let Ok((list, length)) = ParameterList::parse(input, endianness) {
            assert!(length <= input.len());
            check(&list);
        }
    }
}

fn check(list: &ParameterList<'_>) {
    let endianness = list.endianness();
    let mut builder = ParameterListBuilder::new(endianness);
    for parameter in list.iter() {
        builder.raw(parameter.id, parameter.value).expect("it was in a list");
        as_anything(&parameter);
        assert_eq!(list.find(parameter.id).map(|found| found.id), Some(parameter.id));
    }
    let octets = builder.finish();
    let (again, length) = ParameterList::parse(&octets, endianness).expect("a list of ours");
    assert_eq!(length, octets.len());
    assert!(again.iter().eq(list.iter()));
    let _ = InlineQos::from_list(list);
}

fn as_anything(parameter: &Parameter<'_>) {
    reads_back::<u32>(parameter);
    reads_back::<String>(parameter);
    reads_back::<Guid>(parameter);
    reads_back::<Locator>(parameter);
    reads_back::<SequenceNumber>(parameter);
    reads_back::<Duration>(parameter);
    reads_back::<Time>(parameter);
    reads_back::<KeyHash>(parameter);
    reads_back::<StatusInfo>(parameter);
    reads_back::<Partition>(parameter);
    reads_back::<DataRepresentation>(parameter);
    reads_back::<TypeConsistency>(parameter);
    let _ = parameter.reader().read_octet_sequence();
}

/// What was read is read again from what is written of it.
fn reads_back<T: CdrValue + PartialEq + std::fmt::Debug>(parameter: &Parameter<'_>) {
    let Ok(value) = parameter.read::<T>() else { return };
    let mut builder = ParameterListBuilder::new(parameter.endianness);
    if builder.value(parameter.id, &value).is_err() {
        return;
    }
    let octets = builder.finish();
    let (list, _) = ParameterList::parse(&octets, parameter.endianness).expect("a list of ours");
    let again = list.find(parameter.id).map(|parameter| parameter.read::<T>());
    assert_eq!(again, Some(Ok(value)));
}
