//! A call under way, whoever made it and wherever it goes.

use std::sync::Arc;
use std::time::Instant;

use plan::Protocol;
use relay::ConnectionId;
use tokio::sync::oneshot;
use wire::message::Version;
use wire::motan2::Header;

use crate::failure::Failure;
use crate::governed::RuleId;
use crate::link::connection::Turn;
use crate::live::{Endpoint, Export, InFlight, Service};
use crate::outbound::mirror::Copied;
use crate::outbound::twice::Second;
use crate::provide::rest::Translated;
use crate::record::Record;

/// A call under way.
pub(crate) struct Call {
    /// Who is told.
    pub(crate) caller: Caller,
    /// What is called.
    pub(crate) target: Target,
    /// What will be written down.
    pub(crate) record: Record,
    /// Where it is under way now.
    pub(crate) at: Option<InFlight>,
    /// Where it is under way a second time.
    pub(crate) second: Option<Box<Second>>,
    /// It has been sent a second time before it was answered.
    pub(crate) is_twice: bool,
    /// When it was sent first, where it is of interest how long its answer takes.
    pub(crate) sent: Option<Instant>,
    /// How it is governed, by the rules of the service that is called.
    pub(crate) rule: RuleId,
    /// What it is hashed by, where its service is balanced so.
    pub(crate) key: Option<u64>,
    /// It is not sent before.
    pub(crate) not_before: Option<Instant>,
    /// How it fails then, where the policy makes it fail.
    pub(crate) end: Option<Box<Failure>>,
    /// When its caller stops waiting, where an attempt may take less.
    pub(crate) until: Option<Instant>,
    /// Where it has failed already.
    pub(crate) tried: Vec<Arc<Endpoint>>,
    /// Attempts that failed.
    pub(crate) failures: u32,
    /// Those of them after which the program may have seen it, or was kept from it by a limit.
    pub(crate) counted: u32,
    /// Whether it may be repeated even where the program has seen it (RFC 9110 9.2.2).
    pub(crate) repeatable: bool,
    /// A Motan caller's, made into what the program here speaks: it is refused in the words of that program's agent
    /// (motan-wire 7.3 b).
    pub(crate) is_converted: bool,
    /// Whoever asked can fetch the body of the response, where that is still coming.
    pub(crate) takes_stream: bool,
    /// It was asked for by HTTP, and its answer is translated back.
    pub(crate) translated: Option<Box<Translated>>,
}

/// Who made a call.
pub(crate) enum Caller {
    /// A Motan connection.
    Motan(Turn),
    /// A task of this worker that waits.
    Task(oneshot::Sender<Result<Reply, Failure>>),
    /// Nobody: it is a copy of a call.
    Copy(Copied),
}

impl Caller {
    /// The version of its request.
    pub(crate) const fn version(&self) -> Version {
        match self {
            Self::Motan(turn) => turn.version,
            Self::Task(_) => Version::Two,
            Self::Copy(copied) => copied.version,
        }
    }
}

/// What is called.
#[derive(Clone)]
pub(crate) enum Target {
    /// A service elsewhere: this is the client agent.
    Service(Arc<Service>),
    /// The program here: this is the server agent.
    Export(Arc<Export>),
}

/// A response, for a task that waits.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) header: Header,
    /// The metadata block as it came.
    pub(crate) meta: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Who answered.
    pub(crate) by: Option<Arc<Endpoint>>,
}

impl Target {
    /// Whether the program behind it speaks HTTP, carried in Motan 2.
    pub(crate) fn speaks_http(&self) -> bool {
        let protocol = match self {
            Self::Service(service) => service.protocol,
            Self::Export(export) => export.protocol,
        };
        matches!(protocol, Protocol::Http | Protocol::Grpc)
    }
}

impl Call {
    /// Where it is under way; empty where it is not.
    pub(crate) fn endpoint(&self) -> &str {
        self.at.as_ref().map_or("", |at| at.endpoint().address.as_str())
    }

    /// The connection of the other agent that calls the program here.
    pub(crate) const fn peer(&self) -> Option<ConnectionId> {
        match (&self.target, &self.caller) {
            (Target::Export(_), Caller::Motan(turn)) => Some(turn.to),
            _ => None,
        }
    }

    pub(crate) const fn new(caller: Caller, target: Target, record: Record) -> Self {
        Self {
            caller,
            target,
            record,
            at: None,
            second: None,
            is_twice: false,
            sent: None,
            rule: RuleId::ANY,
            key: None,
            not_before: None,
            end: None,
            until: None,
            tried: Vec::new(),
            failures: 0,
            counted: 0,
            repeatable: false,
            is_converted: false,
            takes_stream: false,
            translated: None,
        }
    }
}
