//! Where calls come in: accepting connections, and what is spoken on them.

pub mod accept;
