//! What is written back to the cluster. [`status`] computes, purely, what is true of each object.

pub mod status;
