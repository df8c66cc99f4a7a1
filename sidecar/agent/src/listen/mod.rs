//! Where calls come in: [`accept`] takes connections, `motan` (9981 and 9982) and `http` (9983) read them. Each reads
//! its protocol, hands the call on, and turns what comes back, a reply or a failure, into its protocol in one function.

pub mod accept;
pub(crate) mod http;
pub(crate) mod motan;
