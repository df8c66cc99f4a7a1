//! Where calls come in: [`accept`] takes connections, `motan` (9981), `http` (9983) and
//! `inbound` (9982: either of both) read them. Each reads
//! its protocol, hands the call on, and turns what comes back, a reply or a failure, into its protocol in one function.

pub mod accept;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod motan;
pub(crate) mod sniff;
