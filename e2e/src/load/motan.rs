//! Motan 2: the bytes, who calls, who answers.

pub(crate) mod caller;
pub(crate) mod frames;
pub(crate) mod program;
