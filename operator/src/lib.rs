//! The operator: watch the cluster, compile a plan per pod, tell sidecars.
//!
//! A change enters by `world`, which says what it touched; `compile` makes the plans of the touched pods; what became
//! of it is told by `control`. Pods enter by `admission`. Everything that decides is pure and lives in `world`,
//! `compile`, `admission` and `control::status`; only the rest waits, asks and writes.

pub mod admission;
pub mod app;
pub mod authority;
pub mod backoff;
pub mod check;
pub mod cli;
pub mod compile;
pub mod connect;
pub mod control;
pub mod discovery;
pub mod follow;
pub mod gauges;
pub mod lease;
mod misspelt;
pub mod rates;
pub mod serve;
pub mod settings;
pub mod world;
