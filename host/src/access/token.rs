//! Tokens: how they are made, and what of them is kept. Pure, but for chance.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Bytes of chance in a token: nobody guesses these, so that a plain hash of it may be seen.
const TOKEN_LEN: usize = 32;
/// What tokens begin with, so that programs that look for leaked secrets know them.
const TOKEN_PREFIX: &str = "task_";

/// The SHA-256 of a token, which is what the host keeps of it.
#[derive(Clone, Copy)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether it is the same, in a time that doesn't tell how much of it is.
    pub(crate) fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// 64 hexadecimal digits.
impl FromStr for TokenHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not the SHA-256 of a token, 64 hexadecimal digits; `host token new NAME` makes a token and says what to write here";
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(bytes))
    }
}

/// A new token.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_LEN];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{TOKEN_PREFIX}{}", hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_others() {
        // FIPS 180-2, appendix B.1; and `printf 'task_abc' | sha256sum`.
        for (token, hash) in [
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "task_abc",
                "2bc3df3ae352dcc1429e663890bdb3fdaba1a9aad8c492f8e589a54012314f73",
            ),
        ] {
            assert_eq!(TokenHash::of(token).to_string(), hash);
            assert_eq!(hash.parse(), Ok(TokenHash::of(token)));
            assert_eq!(hash.to_uppercase().parse(), Ok(TokenHash::of(token)));
        }
        assert_ne!(TokenHash::of("a"), TokenHash::of("b"));
        for text in [
            "",
            "secret",
            &"g".repeat(64),
            &"ä".repeat(32),
            &"a".repeat(63),
        ] {
            assert!(text.parse::<TokenHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_token_is_made_twice() {
        let (one, other) = (make().unwrap(), make().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), TOKEN_PREFIX.len() + 2 * TOKEN_LEN);
        assert!(!format!("{:?}", TokenHash::of(&one)).contains(&TokenHash::of(&one).to_string()));
    }
}
