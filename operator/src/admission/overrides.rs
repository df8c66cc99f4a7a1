//! What a pod's annotations change about its sidecar; a value that can't be is refused with its name and its mend.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use crds::names;

use super::{
    Ports, Quantity,
    capture::Capture,
    reach::{MeshProxy, RunDir},
};
use crate::settings::Injection;

/// A pod's annotations.
pub(super) type Annotations = BTreeMap<String, String>;

/// What one sidecar looks like: the settings, and over them the pod's annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) cpu: Share,
    pub(super) memory: Share,
    pub(super) log_level: LogLevel,
    pub(super) ports: Ports,
    pub(super) drain_delay: DrainDelay,
    pub(super) mesh_proxy: Option<MeshProxy>,
    pub(super) run_dir: Option<RunDir>,
    pub(super) capture: Capture,
}

/// A request, and a limit that is not below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) request: Quantity,
    pub(super) limit: Option<Quantity>,
}

/// An annotation that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {annotation}: {rule}")]
pub(super) struct BadAnnotation {
    annotation: &'static str,
    rule: String,
}

impl BadAnnotation {
    pub(super) fn new(annotation: &'static str, rule: impl fmt::Display) -> Self {
        Self {
            annotation,
            rule: rule.to_string(),
        }
    }
}

impl Shape {
    /// Reads a pod's annotations.
    pub(super) fn read(annotations: &Annotations, settings: &Injection) -> Result<Self, BadAnnotation> {
        let cpu = Share::read(
            annotations,
            [names::CPU_REQUEST, names::CPU_LIMIT],
            &settings.sidecar_cpu_request,
            settings.sidecar_cpu_limit.0.as_ref(),
        )?;
        let memory = Share::read(
            annotations,
            [names::MEMORY_REQUEST, names::MEMORY_LIMIT],
            &settings.sidecar_memory_request,
            settings.sidecar_memory_limit.0.as_ref(),
        )?;
        check_memory(annotations, &memory)?;
        let _: Option<PodWeight> = value(annotations, names::WEIGHT)?; // callers read it, not the sidecar
        Ok(Self {
            cpu,
            memory,
            log_level: value(annotations, names::LOG_LEVEL)?.unwrap_or(settings.sidecar_log_level),
            ports: ports(annotations)?,
            drain_delay: value(annotations, names::DRAIN_DELAY)?.unwrap_or(settings.drain_delay),
            mesh_proxy: value(annotations, names::MESH_PROXY)?,
            run_dir: value(annotations, names::RUN_DIR)?,
            capture: value(annotations, names::CAPTURE)?.unwrap_or(Capture::Enabled),
        })
    }
}

impl Share {
    fn read(
        annotations: &Annotations,
        [request_name, limit_name]: [&'static str; 2],
        request_default: &Quantity,
        limit_default: Option<&Quantity>,
    ) -> Result<Self, BadAnnotation> {
        let own_request: Option<Quantity> = value(annotations, request_name)?;
        let own_limit: Option<Quantity> = value(annotations, limit_name)?;
        let [has_request, has_limit] = [own_request.is_some(), own_limit.is_some()];
        let request = own_request.unwrap_or_else(|| request_default.clone());
        let limit = own_limit.or_else(|| limit_default.cloned());
        let Some(limit_text) = limit.as_ref().filter(|limit| **limit < request) else {
            return Ok(Self { request, limit });
        };
        Err(match (has_request, has_limit) {
            (_, false) => BadAnnotation::new(
                request_name,
                format!("{request} is above the limit of {limit_text}: set {limit_name} as well"),
            ),
            (false, true) => BadAnnotation::new(
                limit_name,
                format!("{limit_text} is below the request of {request}: set {request_name} as well"),
            ),
            (true, true) => BadAnnotation::new(
                limit_name,
                format!("{limit_text} is below {request_name}, {request}: a limit is at least the request"),
            ),
        })
    }
}

const LEAST_MEMORY: u64 = 1 << 20; // below 1 MiB somebody has written 128m and meant 128Mi

fn check_memory(annotations: &Annotations, memory: &Share) -> Result<(), BadAnnotation> {
    let both = [
        (names::MEMORY_REQUEST, Some(&memory.request)),
        (names::MEMORY_LIMIT, memory.limit.as_ref()),
    ];
    for (name, quantity) in both {
        let Some(quantity) = quantity.filter(|_| annotations.contains_key(name)) else {
            continue;
        };
        if !quantity.is_at_least(LEAST_MEMORY) {
            return Err(BadAnnotation::new(
                name,
                format!("{quantity} is less than 1 MiB: write for example 32Mi"),
            ));
        }
    }
    Ok(())
}

fn ports(annotations: &Annotations) -> Result<Ports, BadAnnotation> {
    let port = |name| -> Result<Option<u16>, BadAnnotation> {
        Ok(value::<Port>(annotations, name)?.map(|Port(port)| port))
    };
    let default = Ports::default();
    let ports = Ports {
        motan: port(names::MOTAN_PORT)?.unwrap_or(default.motan),
        inbound: port(names::INBOUND_PORT)?.unwrap_or(default.inbound),
        http: port(names::HTTP_PORT)?.unwrap_or(default.http),
        admin: port(names::ADMIN_PORT)?.unwrap_or(default.admin),
        metrics: port(names::METRICS_PORT)?.unwrap_or(default.metrics),
    };
    let all = ports.settings();
    for (at, one) in all.iter().enumerate() {
        let Some(twin) = all.iter().skip(at + 1).find(|other| other.port == one.port) else {
            continue;
        };
        let (set, other) = if annotations.contains_key(one.annotation) {
            (one, twin)
        } else {
            (twin, one)
        };
        return Err(BadAnnotation::new(
            set.annotation,
            format!(
                "{} is also {}: the sidecar's ports must all be different",
                one.port, other.annotation
            ),
        ));
    }
    Ok(ports)
}

fn value<T: FromStr<Err: fmt::Display>>(
    annotations: &Annotations,
    name: &'static str,
) -> Result<Option<T>, BadAnnotation> {
    annotations
        .get(name)
        .map(|text| text.parse().map_err(|rule| BadAnnotation::new(name, rule)))
        .transpose()
}

struct Port(u16);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a port from 1 to 65535")]
struct InvalidPort(String);

impl FromStr for Port {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|port| digits && *port != 0)
            .map(Self)
            .ok_or_else(|| InvalidPort(text.to_owned()))
    }
}

/// A pod's share of calls.
struct PodWeight;

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a weight from 1 to 500")]
struct InvalidWeight(String);

impl FromStr for PodWeight {
    type Err = InvalidWeight;

    fn from_str(text: &str) -> Result<Self, InvalidWeight> {
        text.parse()
            .ok()
            .and_then(plan::Weight::new)
            .map(|_| Self)
            .ok_or_else(|| InvalidWeight(text.to_owned()))
    }
}

/// How much a sidecar logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// What someone should look at.
    Warn,
    /// Changes of state.
    Info,
    /// For those who work on it.
    Debug,
    /// Everything.
    Trace,
}

/// A log level that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log level: error, warn, info, debug or trace")]
pub struct InvalidLogLevel(String);

impl LogLevel {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = InvalidLogLevel;

    fn from_str(text: &str) -> Result<Self, InvalidLogLevel> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| InvalidLogLevel(text.to_owned()))
    }
}

/// How long a pod that is going away keeps taking calls: 0 to 60 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainDelay(Duration);

/// A drain delay that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration from 0s to 60s such as 500ms or 5s")]
pub struct InvalidDrainDelay(String);

const MAX_DRAIN_DELAY: Duration = Duration::from_secs(60); // longer than any endpoint change takes to arrive

impl DrainDelay {
    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for DrainDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{}s", self.0.as_secs())
        } else {
            write!(f, "{}ms", self.0.as_millis())
        }
    }
}

impl FromStr for DrainDelay {
    type Err = InvalidDrainDelay;

    fn from_str(text: &str) -> Result<Self, InvalidDrainDelay> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            _ => None,
        };
        number
            .parse::<u64>()
            .ok()
            .zip(scale)
            .and_then(|(number, scale)| number.checked_mul(scale))
            .map(Duration::from_millis)
            .filter(|delay| *delay <= MAX_DRAIN_DELAY)
            .map(Self)
            .ok_or_else(|| InvalidDrainDelay(text.to_owned()))
    }
}
