//! The name of a request on its connection.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// The name that a client gave a request: an integer of 64 bits, signed or not, or a string of 1 to 64 bytes.
/// `7` and `"7"` differ. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    /// From `i64::MIN` to `u64::MAX`.
    Integer(i128),
    /// Not a slice of the line: an id outlives it, and would keep all of its memory.
    Text(Arc<str>),
}

/// The longest string that may be an id, in bytes.
const ID_LEN_MAX: usize = 64;

/// What an id must be, as messages put it.
pub(crate) const ID_EXPECTED: &str = "a string of 1 to 64 bytes or an integer of at most 64 bits";

impl From<i64> for RequestId {
    fn from(id: i64) -> Self {
        Self(Repr::Integer(id.into()))
    }
}

impl From<u64> for RequestId {
    fn from(id: u64) -> Self {
        Self(Repr::Integer(id.into()))
    }
}

impl RequestId {
    /// The integer that it is, unless it is a string or less than 0.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Repr::Integer(id) => u64::try_from(id).ok(),
            Repr::Text(_) => None,
        }
    }
}

impl TryFrom<&str> for RequestId {
    type Error = BadRequestId;

    fn try_from(id: &str) -> Result<Self, BadRequestId> {
        if id.is_empty() || id.len() > ID_LEN_MAX {
            return Err(BadRequestId);
        }
        Ok(Self(Repr::Text(id.into())))
    }
}

/// As on the wire: `7` or `"seven"`.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Integer(id) => write!(f, "{id}"),
            Repr::Text(id) => f.write_str(&serde_json::Value::from(&**id).to_string()),
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Integer(id) => serializer.serialize_i128(*id),
            Repr::Text(id) => serializer.serialize_str(id),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = RequestId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ID_EXPECTED)
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<RequestId, E> {
                Ok(id.into())
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<RequestId, E> {
                Ok(id.into())
            }

            /// `-0`, which is 0 to everybody but JSON parsers.
            fn visit_f64<E: Error>(self, id: f64) -> Result<RequestId, E> {
                if id == 0.0 && id.is_sign_negative() {
                    return Ok(0_u64.into());
                }
                Err(E::invalid_type(Unexpected::Float(id), &self))
            }

            fn visit_str<E: Error>(self, id: &str) -> Result<RequestId, E> {
                RequestId::try_from(id).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(IdVisitor)
    }
}

/// A string that can't be an id, by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequestId;

impl fmt::Display for BadRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id must be {ID_EXPECTED}")
    }
}

impl std::error::Error for BadRequestId {}
