//! `PID_SHM_LOCATOR`, in each of its carriers.

use dds_shm::discovery::{
    LOCATOR_KEY, LocatorCarrier, LocatorPolicy, ShmLocator, find_locator, find_locator_in,
};
use dds_shm::wire::{
    Endianness, EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, ParameterId, VendorId,
};

/// Any octets in any carrier; a locator that is understood survives every carrier, and its path is
/// followed to allowed places only.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    for fill in [
        |data: &mut EndpointData, octets: &[u8], _: &str| {
            data.vendor_parameters.push((ParameterId::SHM_LOCATOR, octets.to_vec()));
        },
        |data: &mut EndpointData, _: &[u8], text: &str| {
            data.properties.push((LOCATOR_KEY.to_owned(), text.to_owned()));
        },
        |data: &mut EndpointData, octets: &[u8], _: &str| {
            data.user_data = octets.to_vec();
        },
    ] {
        let mut data = publication();
        fill(&mut data, input, &text);
        for vendor in [VendorId::ZERO_DDS, VendorId::EMBEDDED, VendorId::RTI_CONNEXT] {
            if let Ok(Some(locator)) = find_locator(&data, vendor) {
                check(&locator);
            }
            let _ = find_locator_in(&data, vendor, ParameterId(0x8002));
        }
    }
    if let Ok(locator) = ShmLocator::decode(input) {
        check(&locator);
    }
}

fn publication() -> EndpointData {
    let guid = Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(1, false));
    let mut data = EndpointData::new(EndpointRole::Writer, guid, "T", "Type");
    // What others write there.
    data.user_data = b"typehash=RIHS01_00;".to_vec();
    data
}

fn check(locator: &ShmLocator) {
    assert_eq!(ShmLocator::decode(&locator.encode()).as_ref(), Ok(locator));
    let path = locator.path.as_str();
    if LocatorPolicy::new("/run/robot").check(path).is_ok() {
        assert!(path.starts_with("/run/robot/") || path.starts_with("/dev/shm/dds-shm-"));
        assert!(!path.split('/').any(|part| part == ".."));
    }
    for carrier in [LocatorCarrier::default(), LocatorCarrier::Property, LocatorCarrier::UserData] {
        let mut data = publication();
        carrier.put(locator, &mut data).expect("a good parameter");
        let octets = data.to_pl_cdr(Endianness::Little).expect("a short list");
        let heard = EndpointData::from_pl_cdr(data.role, &octets).expect("a list of ours");
        assert_eq!(heard, data);
        let found = find_locator(&heard, VendorId::EMBEDDED);
        match locator.segment {
            Some(_) => assert_eq!(found.as_ref(), Ok(&Some(locator.clone()))),
            // Without our trailer it counts as a parameter of ZeroDDS alone.
            None => assert!(!matches!(found, Ok(Some(_)))),
        }
    }
}
