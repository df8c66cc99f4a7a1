//! gRPC over HTTP/2, in as little of it as a load needs: the bytes, one end of a connection, who calls, who answers.
//!
//! Header blocks that are sent are literals, encoded once; those that come are only searched, which is sound because each
//! end asks for an empty dynamic table.

pub(crate) mod caller;
pub(crate) mod frames;
pub(crate) mod link;
pub(crate) mod program;
