//! Two and more agents in one process, joined by pipes, on a held clock: what a program sees of them.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod cross;
mod direct;
mod governed;
mod grpc;
mod hostile;
mod large;
mod limits;
mod locations;
mod mesh;
mod mirror;
mod motan;
mod motan1;
mod net;
mod over_http;
mod over_motan;
mod places;
mod rates;
mod rest;
mod routing;
mod streams;
mod transcode;
mod twice;
mod upgrade;
mod web;
