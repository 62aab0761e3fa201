//! Files of the registry.

use dds_shm::discovery::RegistryFile;

/// Where the header ends, and where its checksums are.
const HEADER: usize = 32;
const BODY_CRC: usize = 0x18;
const HEADER_CRC: usize = 0x1c;

/// A file that is believed can be written again and is then the same. Length and checksums are made
/// good: what is behind them is what matters.
pub fn run(input: &[u8]) {
    let _ = RegistryFile::decode(input);
    let mut file = input.to_vec();
    if let Some((header, body)) = file.split_first_chunk_mut::<HEADER>() {
        let length = (HEADER + body.len()) as u32;
        header[0x10..0x14].copy_from_slice(&length.to_le_bytes());
        header[BODY_CRC..HEADER_CRC].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        let crc = crc32fast::hash(&header[..HEADER_CRC]);
        header[HEADER_CRC..].copy_from_slice(&crc.to_le_bytes());
    }
    let Ok(decoded) = RegistryFile::decode(&file) else { return };
    assert_eq!(RegistryFile::decode(&decoded.encode()), Ok(decoded));
}
