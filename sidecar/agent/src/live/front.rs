//! What stands in front of a program, so that callers may speak HTTP and JSON to one that speaks something else. Made
//! once, and kept as long as what was declared stays the same.

use std::sync::Arc;

use plan::grpc::Transcoding;
use plan::rest::Routes;
use translate::About;
use translate::grpc::Transcoder;
use translate::rest::Rest;

/// What stands in front of a program.
#[derive(Debug, Default)]
pub struct Front {
    declared: Declared,
    /// Its routes; none where nothing was declared.
    pub rest: Option<Rest>,
    /// Its methods, or why they can't be used; none where nothing was declared.
    pub grpc: Option<Result<Transcoder, String>>,
}

/// What was declared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Declared {
    version: Option<String>,
    routes: Routes,
    grpc: Option<Transcoding>,
}

impl Front {
    /// The front of an export; the one before where nothing has changed.
    #[must_use]
    pub fn of(export: &plan::Export, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let declared = Declared {
            version: export.version.clone(),
            routes: export.http.clone(),
            grpc: export.grpc.clone(),
        };
        if let Some(previous) = previous.filter(|previous| previous.declared == declared) {
            return Arc::clone(previous);
        }
        let about = About {
            name: export.name.as_str(),
            version: declared.version.as_deref(),
        };
        let rest = (!declared.routes.is_empty()).then(|| Rest::new(&declared.routes, about));
        let grpc = declared.grpc.as_ref().map(|declared| {
            let made = Transcoder::new(&declared.descriptor_set, about);
            made.map_err(|error| {
                tracing::warn!(service = %export.name, %error, "spec.grpc.descriptorSet can't be used");
                error.to_string()
            })
        });
        Arc::new(Self { declared, rest, grpc })
    }

    /// The version that the service is known by.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.declared.version.as_deref()
    }

    /// Whether anything stands there.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.rest.is_some() || self.grpc.is_some()
    }
}
