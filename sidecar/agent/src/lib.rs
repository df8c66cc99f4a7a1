//! The proxy: the client agent and the server agent, one binary that walks the same rooms in two directions.

pub mod discovery;
pub mod listen;
