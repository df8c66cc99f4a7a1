//! The ports of a sidecar, and who may not have them as well.

/// The local Motan port.
pub const MOTAN_PORT: u16 = 9981;
/// The port for other agents.
pub const INBOUND_PORT: u16 = 9982;
/// The local HTTP port.
pub const HTTP_PORT: u16 = 9983;
/// The local management port.
pub const ADMIN_PORT: u16 = 8002;
/// The port of metrics and probes.
pub const METRICS_PORT: u16 = 9990;

/// The ports of one sidecar, all different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Motan from the local program.
    pub motan: u16,
    /// Other agents.
    pub inbound: u16,
    /// HTTP from the local program.
    pub http: u16,
    /// Management.
    pub admin: u16,
    /// Metrics and probes.
    pub metrics: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            motan: MOTAN_PORT,
            inbound: INBOUND_PORT,
            http: HTTP_PORT,
            admin: ADMIN_PORT,
            metrics: METRICS_PORT,
        }
    }
}

/// What sets one of a sidecar's ports.
pub(super) struct Setting {
    pub(super) annotation: &'static str,
    pub(super) variable: &'static str,
    pub(super) default: u16,
    pub(super) port: u16,
}

impl Ports {
    /// Every port with the annotation and the environment variable that set it.
    pub(super) const fn settings(&self) -> [Setting; 5] {
        use crds::names;
        let Self {
            motan,
            inbound,
            http,
            admin,
            metrics,
        } = *self;
        [
            Setting {
                annotation: names::MOTAN_PORT,
                variable: "MOTANMESH_MOTAN_PORT",
                default: MOTAN_PORT,
                port: motan,
            },
            Setting {
                annotation: names::INBOUND_PORT,
                variable: "MOTANMESH_INBOUND_PORT",
                default: INBOUND_PORT,
                port: inbound,
            },
            Setting {
                annotation: names::HTTP_PORT,
                variable: "MOTANMESH_HTTP_PORT",
                default: HTTP_PORT,
                port: http,
            },
            Setting {
                annotation: names::ADMIN_PORT,
                variable: "MOTANMESH_ADMIN_PORT",
                default: ADMIN_PORT,
                port: admin,
            },
            Setting {
                annotation: names::METRICS_PORT,
                variable: "MOTANMESH_METRICS_PORT",
                default: METRICS_PORT,
                port: metrics,
            },
        ]
    }
}
