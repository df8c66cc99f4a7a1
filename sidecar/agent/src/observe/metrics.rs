//! The families that count calls, links and bytes. Labels are resolved when `Live` is built, so that a call only
//! bumps counters it already holds; every label is from a fixed set or from the plan.

use std::sync::OnceLock;

use plan::Protocol;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::latency::Latency;
use crate::failure::Kind;

/// The label `service` of calls to something that is not in the plan: what callers ask for must not become labels.
pub const UNKNOWN_SERVICE: &str = "unknown";

/// Which agent this sidecar is for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client agent: the program here calls.
    Client,
    /// The server agent: the program here is called.
    Server,
}

impl Role {
    /// The word used as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The program answered.
    Ok,
    /// The program answered with an exception, or with an HTTP status from 500 up.
    AppError,
    /// The far agent answered with an exception of its own, or one that names no culprit.
    RemoteError,
    /// The mesh could not do it.
    Failed(Kind),
    /// The caller went away first.
    Cancelled,
}

impl Outcome {
    const COUNT: usize = 20;

    /// The word used as a label and in the access log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AppError => "app-error",
            Self::RemoteError => "remote-error",
            Self::Failed(kind) => kind.as_str(),
            Self::Cancelled => "cancelled",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::AppError => 1,
            Self::RemoteError => 2,
            Self::Cancelled => 3,
            Self::Failed(kind) => 4 + kind as usize,
        }
    }
}

/// What a policy did to a call, or to an endpoint, beside what the outcome of the call tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A call was not repeated, as too many are.
    RetryDenied,
    /// An attempt took too long, while its call had time left.
    AttemptTimeout,
    /// A call was made to wait.
    Delayed,
    /// A call was answered with what the switch says.
    Given,
    /// A call waited for others to end.
    Queued,
    /// An endpoint gets no more calls for a while.
    Ejected,
    /// An endpoint gets calls again.
    Readmitted,
    /// A circuit was opened.
    Opened,
    /// A circuit was closed again.
    Closed,
    /// A call of low priority had no place in the program.
    ShedLow,
    /// One of normal priority.
    ShedNormal,
    /// One of critical priority.
    ShedCritical,
    /// A call was sent a second time before it was answered.
    Backup,
    /// Its second attempt was answered first.
    BackupWon,
    /// A call was not sent a second time, as too many are.
    BackupDenied,
    /// A copy of a call was sent to somebody else.
    Mirrored,
    /// A copy was not sent: too many are under way, or nobody is there who takes it.
    MirrorDropped,
}

impl Action {
    /// With the last one.
    const COUNT: usize = Self::MirrorDropped as usize + 1;

    const fn as_str(self) -> &'static str {
        match self {
            Self::RetryDenied => "retry-denied",
            Self::AttemptTimeout => "attempt-timeout",
            Self::Delayed => "delayed",
            Self::Given => "given",
            Self::Queued => "queued",
            Self::Ejected => "ejected",
            Self::Readmitted => "readmitted",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::ShedLow => "shed-low",
            Self::ShedNormal => "shed-normal",
            Self::ShedCritical => "shed-critical",
            Self::Backup => "backup",
            Self::BackupWon => "backup-won",
            Self::BackupDenied => "backup-denied",
            Self::Mirrored => "mirrored",
            Self::MirrorDropped => "mirror-dropped",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    role: &'static str,
    service: String,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    role: &'static str,
    service: String,
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    role: &'static str,
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaceLabels {
    place: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    place: &'static str,
    direction: &'static str,
}

/// The families of calls. A clone is a few reference counts and counts the same things.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    duration: Family<ServiceLabels, Latency>,
    in_flight: Family<ServiceLabels, Gauge>,
    retries: Family<ServiceLabels, Counter>,
    actions: Family<ActionLabels, Counter>,
    limits: Family<ServiceLabels, Gauge>,
    shares: Family<ServiceLabels, Gauge>,
    connections: Family<PlaceLabels, Gauge>,
    bytes: Family<ByteLabels, Counter>,
    dial_failures: Counter,
    refused_connections: Family<PlaceLabels, Counter>,
    refused_messages: Family<PlaceLabels, Counter>,
    dropped_answers: Family<PlaceLabels, Counter>,
}

impl Metrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            duration: Family::default(),
            in_flight: Family::default(),
            retries: Family::default(),
            actions: Family::default(),
            limits: Family::default(),
            shares: Family::default(),
            connections: Family::default(),
            bytes: Family::default(),
            dial_failures: Counter::default(),
            refused_connections: Family::default(),
            refused_messages: Family::default(),
            dropped_answers: Family::default(),
        };
        let Self {
            calls,
            duration,
            in_flight,
            retries,
            actions,
            limits,
            shares,
            connections,
            bytes,
            dial_failures,
            refused_connections,
            refused_messages,
            dropped_answers,
        } = metrics.clone();
        registry.register("motanmesh_calls", "Calls that ended, by how", calls);
        registry.register(
            "motanmesh_call_duration_seconds",
            "From the whole request to the whole reply, retries included",
            duration,
        );
        registry.register("motanmesh_calls_in_flight", "Calls under way", in_flight);
        registry.register(
            "motanmesh_retries",
            "Calls sent again because they had certainly not reached the program, or may be repeated",
            retries,
        );
        registry.register(
            "motanmesh_policy_actions",
            "What policies did to calls and endpoints, beside what motanmesh_calls tells",
            actions,
        );
        registry.register(
            "motanmesh_concurrency_limit",
            "Calls that a service takes at once, as it is said or as it was learnt",
            limits,
        );
        registry.register(
            "motanmesh_rate_share",
            "Calls a second that a service takes here, of a rate of all its pods",
            shares,
        );
        registry.register(
            "motanmesh_connections",
            "Open connections, by listener; link: to other agents and to the program",
            connections,
        );
        registry.register(
            "motanmesh_bytes",
            "Bytes of Motan frames, by place and direction",
            bytes,
        );
        registry.register(
            "motanmesh_dial_failures",
            "Connections to other agents or to the program that could not be made",
            dial_failures,
        );
        registry.register(
            "motanmesh_connections_broken",
            "Connections closed because of what came on them, or because nothing was read from them",
            refused_connections,
        );
        registry.register(
            "motanmesh_messages_refused",
            "Messages that are not what they must be, on connections that go on",
            refused_messages,
        );
        registry.register(
            "motanmesh_answers_dropped",
            "Answers that no call waits for: late ones, and those with a wrong id",
            dropped_answers,
        );
        metrics
    }

    /// The counters of one service in one role, for callers of one protocol.
    #[must_use]
    pub fn of_service(&self, role: Role, service: &str, protocol: Protocol) -> CallMetrics {
        let labels = ServiceLabels {
            role: role.as_str(),
            service: service.to_owned(),
        };
        CallMetrics {
            duration: self.duration.get_or_create_owned(&labels),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            retries: self.retries.get_or_create_owned(&labels),
            calls: self.calls.clone(),
            actions: self.actions.clone(),
            labels,
            protocol,
            ended: Default::default(),
            acted: Default::default(),
        }
    }

    /// The counters of connections of one kind: `place` is a listener's name or `link`.
    #[must_use]
    pub fn of_place(&self, place: &'static str) -> PlaceMetrics {
        let bytes = |direction| self.bytes.get_or_create_owned(&ByteLabels { place, direction });
        PlaceMetrics {
            connections: self.connections.get_or_create_owned(&PlaceLabels { place }),
            broken: self
                .refused_connections
                .get_or_create_owned(&PlaceLabels { place }),
            broken_messages: self.refused_messages.get_or_create_owned(&PlaceLabels { place }),
            dropped: self.dropped_answers.get_or_create_owned(&PlaceLabels { place }),
            read: bytes("read"),
            written: bytes("written"),
        }
    }

    /// How many calls a service of the program here takes at once.
    #[must_use]
    pub fn limit(&self, service: &str) -> Gauge {
        self.limits.get_or_create_owned(&served(service))
    }

    /// A service takes any number.
    pub fn no_limit(&self, service: &str) {
        self.limits.remove(&served(service));
    }

    /// How many calls a second a service of the program here takes, of a rate of all its pods.
    #[must_use]
    pub fn share(&self, service: &str) -> Gauge {
        self.shares.get_or_create_owned(&served(service))
    }

    /// A service has no rate of all its pods.
    pub fn no_share(&self, service: &str) {
        self.shares.remove(&served(service));
    }

    /// Connections that could not be made.
    #[must_use]
    pub const fn dial_failures(&self) -> &Counter {
        &self.dial_failures
    }
}

fn served(service: &str) -> ServiceLabels {
    ServiceLabels {
        role: Role::Server.as_str(),
        service: service.to_owned(),
    }
}

/// What is counted about the calls of one service in one role.
#[derive(Debug)]
pub struct CallMetrics {
    /// From the whole request to the whole reply.
    pub duration: Latency,
    /// Calls under way.
    pub in_flight: Gauge,
    /// Calls sent again.
    pub retries: Counter,
    calls: Family<CallLabels, Counter>,
    actions: Family<ActionLabels, Counter>,
    labels: ServiceLabels,
    protocol: Protocol,
    ended: [OnceLock<Counter>; Outcome::COUNT],
    acted: [OnceLock<Counter>; Action::COUNT],
}

impl CallMetrics {
    /// Which service, as `namespace/name`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.labels.service
    }

    /// In which role.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        self.labels.role
    }

    /// What the caller speaks.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The counter of calls that ended this way. A series exists from its first call on, so that a sidecar does not
    /// expose hundreds of zeros.
    pub fn ended(&self, outcome: Outcome) -> &Counter {
        self.ended[outcome.index()].get_or_init(|| {
            self.calls.get_or_create_owned(&CallLabels {
                role: self.labels.role,
                service: self.labels.service.clone(),
                protocol: self.protocol.as_str(),
                outcome: outcome.as_str(),
            })
        })
    }
}

impl CallMetrics {
    /// Counters that no page shows.
    #[must_use]
    pub fn unseen() -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        metrics.of_service(Role::Client, UNKNOWN_SERVICE, Protocol::Motan2)
    }

    /// Calls that have ended and those under way: all that ever began, about.
    #[must_use]
    pub fn begun(&self) -> u64 {
        let ended = self.ended.iter().filter_map(OnceLock::get);
        let ended: u64 = ended.map(Counter::get).sum();
        ended.saturating_add_signed(self.in_flight.get())
    }

    /// The counter of what policies did. A series exists from the first time on.
    pub fn acted(&self, action: Action) -> &Counter {
        self.acted[action as usize].get_or_init(|| {
            self.actions.get_or_create_owned(&ActionLabels {
                role: self.labels.role,
                service: self.labels.service.clone(),
                action: action.as_str(),
            })
        })
    }
}

/// What is counted about connections of one kind.
#[derive(Debug, Clone)]
pub struct PlaceMetrics {
    /// Open now.
    pub connections: Gauge,
    /// Closed because of what came on them.
    pub broken: Counter,
    /// Messages refused while the connection goes on.
    pub broken_messages: Counter,
    /// Answers that no call waits for.
    pub dropped: Counter,
    /// Bytes read.
    pub read: Counter,
    /// Bytes written.
    pub written: Counter,
}
