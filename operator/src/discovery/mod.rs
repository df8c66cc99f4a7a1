//! The live stream.
pub mod session;
