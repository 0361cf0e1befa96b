//! JPEG by libjpeg-turbo: decoded at a half, a quarter or an eighth of its size where less is wanted, as planes.

mod decode;
mod encode;
mod raw;

pub(crate) use self::{
    decode::{decode, header, memory},
    encode::{Settings, encode},
};
