//! HTTP/1.1: the bytes, who calls, who answers.

pub(crate) mod caller;
pub(crate) mod messages;
pub(crate) mod program;
