//! The words of the command line that need no cluster. Each returns what is to be printed.

mod compile;
mod documents;
mod import;
mod inject;

pub use compile::Compile;
pub use import::{Error as ImportError, Import};
pub use inject::Inject;

/// What a command prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// For standard output: the document that was asked for.
    pub document: String,
    /// For standard error: what people should know beside it, a line each.
    pub notes: String,
}

impl From<String> for Printed {
    fn from(document: String) -> Self {
        Self {
            document,
            notes: String::new(),
        }
    }
}

/// Why a command could not print.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A document is not YAML.
    #[error("{path}: document {number} is not YAML")]
    Yaml {
        /// The file.
        path: String,
        /// Which document, from 1.
        number: usize,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// A document is not the object it says it is.
    #[error("{path}: {kind} {name} can't be read")]
    Object {
        /// The file.
        path: String,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// `--pod` is not `NAMESPACE/NAME`.
    #[error("--pod {0:?}: write NAMESPACE/NAME")]
    PodKey(String),
    /// The pod is not in the file.
    #[error("pod {pod} is not in {path}; pods there: {there}")]
    NoPod {
        /// The pod.
        pod: String,
        /// The file.
        path: String,
        /// The pods that are.
        there: String,
    },
    /// A pod must not be created.
    #[error("{name} would be denied: {refusal}")]
    Denied {
        /// The pod or workload.
        name: String,
        /// Why.
        refusal: crate::admission::Refusal,
    },
    /// A configuration of motan-go can't be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Something can't be written as YAML.
    #[error("writing YAML")]
    Write(#[from] serde_yaml::Error),
}

/// Both resource definitions, as YAML.
///
/// # Errors
/// None in practice: the definitions are constants.
pub fn crds() -> Result<Printed, Error> {
    Ok(crds::definitions_yaml()?.into())
}
