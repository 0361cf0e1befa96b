//! How our values stand in the database's messages.

use std::error::Error;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::ledger::id::TaskId;
use crate::ledger::states::State;

type Fallible<T> = Result<T, Box<dyn Error + Sync + Send>>;

impl ToSql for TaskId {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        out.put_slice(self.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for TaskId {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
        Ok(Self::from_bytes(raw.try_into()?))
    }

    accepts!(UUID);
}

/// JSON text, byte for byte; none stands for the empty text, which JSON has not.
#[derive(Debug)]
pub(super) struct Json<'a>(pub(super) &'a [u8]);

impl ToSql for Json<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        if self.0.is_empty() {
            return Ok(IsNull::Yes);
        }
        out.put_slice(self.0);
        Ok(IsNull::No)
    }

    accepts!(JSON);
    to_sql_checked!();
}

/// JSON text as it was kept.
pub(super) struct Kept(pub(super) Bytes);

impl<'a> FromSql<'a> for Kept {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
        Ok(Self(Bytes::copy_from_slice(raw)))
    }

    accepts!(JSON);
}

/// What stands for a state in the database.
pub(super) fn number_of(state: State) -> i16 {
    i16::try_from(state.index()).unwrap_or(i16::MAX)
}

/// Lengths fit: no text is longer than a request's line.
pub(super) fn len(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Counts that the database keeps in 32 bits.
pub(super) fn narrow(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn wide(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
