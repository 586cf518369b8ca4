//! API keys: who may ask.
//!
//! - The file has one key a line: a name, a space, and `sha256:` with the hash of the key in 64 hexadecimal digits.
//!   Empty lines and lines that begin with `#` say nothing. `shoal key new NAME` makes a key and its line.
//! - The file never holds a key. A key is 32 random bytes, so that nobody finds it from its hash; a slow hash, as for
//!   passwords, would add nothing but work for each request.
//! - A key that is sent is hashed, and compared with every hash of the file in constant time.
//! - The file is read anew when it changes. One that cannot be read, or has a line that is none, leaves the keys as
//!   they were and is told in the log; an empty file lets nobody in.
//! - Neither a key nor its hash stands in a fault or in the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::fault::{Code, Fault, Outcome};
use crate::files;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PREFIX: &str = "sha256:";
const HASH_BYTES: usize = 32;

type Hash = [u8; HASH_BYTES];

/// The keys of one file, as they are now.
pub(crate) struct Keyring {
    path: PathBuf,
    hashes: RwLock<Arc<Vec<Hash>>>,
}

impl Keyring {
    /// Reads the file.
    ///
    /// # Errors
    /// `PathNotFound`, `InvalidConfiguration` with the line that is none.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let hashes = RwLock::new(Arc::new(read(path)?));
        Ok(Self { path: path.to_owned(), hashes })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file anew: how many keys there are. The keys stay as they were when it cannot be read.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn refresh(&self) -> Outcome<usize> {
        let hashes = read(&self.path)?;
        let count = hashes.len();
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hashes);
        Ok(count)
    }

    /// Whether the headers bring a key that is known.
    ///
    /// # Errors
    /// `Unauthorized`.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Outcome<()> {
        let key = sent(headers).ok_or_else(|| refused("the request has no API key"))?;
        let hashes = Arc::clone(&self.hashes.read().unwrap_or_else(PoisonError::into_inner));
        if is_known(&hashes, key) { Ok(()) } else { Err(refused("the API key of the request is not known here")) }
    }
}

fn refused(what: &str) -> Fault {
    Fault::new(Code::Unauthorized, what).hint("send a key as the header `Authorization: Bearer KEY` or `X-API-Key: KEY`")
}

/// The key of a request.
fn sent(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
    });
    bearer.or_else(|| headers.get(API_KEY).map(|value| value.as_bytes().trim_ascii()))
}

/// The hash of the key of a request, by which its owner is told from others.
pub(crate) fn hash_of(headers: &HeaderMap) -> Option<[u8; HASH_BYTES]> {
    sent(headers).map(|key| Sha256::digest(key).into())
}

/// Compares with every hash, whether or not one was found already.
fn is_known(hashes: &[Hash], key: &[u8]) -> bool {
    let hash = Sha256::digest(key);
    hashes.iter().fold(Choice::from(0), |found, known| found | known[..].ct_eq(&hash)).into()
}

fn read(path: &Path) -> Outcome<Vec<Hash>> {
    let text = files::read_text(path, "file of API keys")?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| parse(line).ok_or_else(|| no_key(path, number))).collect()
}

fn no_key(path: &Path, number: usize) -> Fault {
    let message =
        format!("line {number} of the file of API keys {} is no key; expected NAME {PREFIX}64-HEXADECIMAL-DIGITS", path.display());
    Fault::new(Code::InvalidConfiguration, message).hint("`shoal key new NAME` makes a key and prints its line")
}

fn parse(line: &str) -> Option<Hash> {
    let mut words = line.split_whitespace();
    let (_name, hash, None) = (words.next()?, words.next()?, words.next()) else { return None };
    let digits = hash.strip_prefix(PREFIX).filter(|digits| digits.len() == 2 * HASH_BYTES && digits.is_ascii())?;
    let mut bytes = [0; HASH_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of "abc". Source: FIPS 180-2, appendix B.1.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_line_is_a_name_and_a_hash_and_nothing_else() {
        let hash = parse(&format!("ann {ABC}")).unwrap();
        assert!(is_known(&[[0; HASH_BYTES], hash], b"abc"));
        assert!(!is_known(&[[0; HASH_BYTES], hash], b"abd"));
        for line in ["ann", ABC, &format!("ann {ABC}0"), &format!("ann {ABC} more"), &format!("ann {}", &ABC[7..])] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_key_comes_as_a_bearer_token_or_in_its_own_header() {
        let headers =
            |name: &'static str, value: &'static str| HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]);
        assert_eq!(sent(&headers("authorization", "Bearer abc")), Some(&b"abc"[..]));
        assert_eq!(sent(&headers("authorization", "bearer  abc ")), Some(&b"abc"[..]));
        assert_eq!(sent(&headers("x-api-key", "abc")), Some(&b"abc"[..]));
        assert_eq!(sent(&headers("authorization", "Basic abc")), None);
        assert_eq!(sent(&HeaderMap::new()), None);
    }
}
