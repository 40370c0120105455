//! Toxics on object stores that speak the language of S3, one file each. The layer of HTTP carries them.

mod object;

pub(crate) mod slow_down;
pub(crate) mod slow_first_byte;
pub(crate) mod stall;
pub(crate) mod truncate;
