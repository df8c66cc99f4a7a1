//! Every byte format the sidecar speaks. No I/O, no policy: bytes in, values that borrow them out, and back.
//!
//! Facts are from the specification of the existing programs ("motan-wire" and a section); golden frames recorded from
//! them are in `tests/`.

pub mod argument;
pub mod breeze;
pub mod error;
pub mod gzip;
pub mod hessian;
pub mod keys;
pub mod message;
pub mod meta;
pub mod motan1;
pub mod motan2;
pub mod value;
