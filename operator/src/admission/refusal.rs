//! Why a pod gets no sidecar, in words that name the mend.

use std::fmt;

/// Why a pod gets no sidecar: the reason of an Event and the label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Neither pod nor namespace asks for one.
    NotAsked,
    /// The pod declines.
    OptedOut,
    /// The namespace is one that is never touched.
    ExcludedNamespace,
    /// The pod has the node's network, where ports are not its own.
    HostNetwork,
    /// The kubelet made it from a file; what admission changes never reaches it.
    MirrorPod,
    /// It doesn't run Linux.
    NotLinux,
    /// A container of the sidecar's name is there already, and it isn't ours.
    NameTaken,
    /// A volume of one of the sidecar's names is there already.
    VolumeTaken,
    /// A container that sees the sidecar's process runs as the same user.
    UserTaken,
    /// A container has one of the sidecar's ports.
    PortTaken,
    /// A container has something mounted where it asks for a directory shared with the sidecar.
    MountTaken,
    /// An annotation that can't be.
    InvalidAnnotation,
    /// What came isn't a pod.
    Malformed,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Self; 13] = [
        Self::NotAsked,
        Self::OptedOut,
        Self::ExcludedNamespace,
        Self::HostNetwork,
        Self::MirrorPod,
        Self::NotLinux,
        Self::NameTaken,
        Self::VolumeTaken,
        Self::UserTaken,
        Self::PortTaken,
        Self::MountTaken,
        Self::InvalidAnnotation,
        Self::Malformed,
    ];

    /// The word in Events and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "NotAsked",
            Self::OptedOut => "OptedOut",
            Self::ExcludedNamespace => "ExcludedNamespace",
            Self::HostNetwork => "HostNetwork",
            Self::MirrorPod => "MirrorPod",
            Self::NotLinux => "NotLinux",
            Self::NameTaken => "NameTaken",
            Self::VolumeTaken => "VolumeTaken",
            Self::UserTaken => "UserTaken",
            Self::PortTaken => "PortTaken",
            Self::MountTaken => "MountTaken",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::Malformed => "Malformed",
        }
    }

    /// Whether its owner is told by an Event: not where nobody asked.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::NotAsked)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pod that gets no sidecar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The same for people, with the mend.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}
