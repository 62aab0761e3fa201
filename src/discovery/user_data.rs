//! `key=value;` pairs in USER_DATA.
//!
//! User data belongs to the application, and others write there too: ROS 2 its `typehash=…;`, HDDS its
//! `shm=…;`. So nothing is assumed about the octets: our pairs are found wherever they stand between
//! semicolons, and what is not ours stays as it is, octet by octet.

/// The value of the first pair with this key.
pub(crate) fn get<'a>(user_data: &'a [u8], key: &str) -> Option<&'a [u8]> {
    user_data.split(|octet| *octet == b';').find_map(|piece| value_of(piece, key))
}

/// Sets a pair: removes it wherever it stood, and appends it.
pub(crate) fn set(user_data: &mut Vec<u8>, key: &str, value: &str) {
    remove(user_data, key);
    if user_data.last().is_some_and(|octet| *octet != b';') {
        user_data.push(b';');
    }
    user_data.extend_from_slice(format!("{key}={value};").as_bytes());
}

/// Removes all pairs with this key.
pub(crate) fn remove(user_data: &mut Vec<u8>, key: &str) {
    let mut kept = Vec::with_capacity(user_data.len());
    for piece in user_data.split_inclusive(|octet| *octet == b';') {
        if value_of(piece.strip_suffix(b";").unwrap_or(piece), key).is_none() {
            kept.extend_from_slice(piece);
        }
    }
    *user_data = kept;
}

fn value_of<'a>(piece: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let rest = piece.trim_ascii_start().strip_prefix(key.as_bytes())?;
    // A NUL at the end is what a C string left there.
    let value = rest.strip_prefix(b"=")?.trim_ascii_end();
    Some(value.strip_suffix(b"\0").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_is_found_among_others() {
        let user_data = b"typehash=RIHS01_ab;enclave=/;dds_shm.x=1;shm=1;host_id=00;v=1";
        assert_eq!(get(user_data, "dds_shm.x"), Some(&b"1"[..]));
        assert_eq!(get(user_data, "v"), Some(&b"1"[..]));
        assert_eq!(get(user_data, "dds_shm"), None);
        assert_eq!(get(user_data, "shm.x"), None);
        assert_eq!(get(b"v=1\0", "v"), Some(&b"1"[..]));
        assert_eq!(get(b"a ; v= 1 ", "v"), Some(&b" 1"[..]));
    }

    #[test]
    fn a_pair_is_appended_behind_what_is_there() {
        for (before, after) in [
            (&b""[..], &b"k=v;"[..]),
            (b"a=b;", b"a=b;k=v;"),
            (b"a=b", b"a=b;k=v;"),
            (b"\x00\xff", b"\x00\xff;k=v;"),
            (b"k=old;a=b;k=older", b"a=b;k=v;"),
        ] {
            let mut user_data = before.to_vec();
            set(&mut user_data, "k", "v");
            assert_eq!(user_data, after);
        }
    }

    proptest! {
        #[test]
        fn what_is_not_ours_stays_as_it_is(foreign: Vec<u8>) {
            let mut user_data = foreign.clone();
            set(&mut user_data, "dds_shm.test", "0123");
            prop_assert_eq!(get(&user_data, "dds_shm.test"), Some(&b"0123"[..]));
            prop_assert!(user_data.starts_with(&foreign));
            remove(&mut user_data, "dds_shm.test");
            prop_assert!(user_data == foreign || user_data == [&foreign[..], b";"].concat());
        }
    }
}
