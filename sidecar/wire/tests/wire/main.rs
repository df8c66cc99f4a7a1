//! The byte formats against what the existing programs put on the wire, and against what nobody should.

mod golden;
mod hostile;
mod java;
mod message;
mod motan1;
mod properties;
mod read;
mod recorded;
mod text;
