//! HTTP routes and descriptor sets, from what people write to what a plan has.

use crds::{
    GrpcSpec, HttpMatch, HttpRoute, MeshServiceSpec, RouteArgument, RouteBody, RouteError, RouteKind,
    RouteMethod, RouteSerialization,
};
use plan::grpc::{DescriptorSet, InvalidDescriptorSet, Transcoding};
use plan::rest::{
    Argument, BodyForm, ErrorStatus, HttpMethod, InvalidRoute, Match, RawArgument, Route, Routes,
    Serialization,
};
use plan::scalar::ScalarKind;
use plan::template::Template;
use plan::{MethodName, Protocol};

/// Why what lets callers speak HTTP and JSON can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontFlaw {
    /// One route.
    #[error("spec.http[{0}].{1}")]
    Route(usize, InvalidRoute),
    /// Routes together.
    #[error("spec.http: {0}")]
    Routes(InvalidRoute),
    /// Routes in front of something else than Motan 2.
    #[error(
        "spec.http: routes lead to motan2 programs, and this one speaks {0}: remove them, or write protocol: motan2"
    )]
    RoutesOf(&'static str),
    /// Descriptors of something else than gRPC.
    #[error(
        "spec.grpc: it is for grpc programs, and this one speaks {0}: remove it, or write protocol: grpc"
    )]
    GrpcOf(&'static str),
    /// Pods of which there are none.
    #[error("spec.http and spec.grpc: a service with external has no sidecar to translate: remove them")]
    OfExternal,
    /// The text of the descriptor set.
    #[error("spec.grpc.{0}")]
    Text(#[from] InvalidDescriptorSet),
}

/// Reads what lets callers speak HTTP and JSON to programs of this protocol.
///
/// # Errors
/// The first flaw, by its place.
pub(super) fn front(
    spec: &MeshServiceSpec,
    protocol: Protocol,
) -> Result<(Routes, Option<Transcoding>), FrontFlaw> {
    if !spec.http.is_empty() && protocol != Protocol::Motan2 {
        return Err(FrontFlaw::RoutesOf(protocol.as_str()));
    }
    if spec.grpc.is_some() && protocol != Protocol::Grpc {
        return Err(FrontFlaw::GrpcOf(protocol.as_str()));
    }
    let transcoding = spec.grpc.as_ref().map(transcoding).transpose()?;
    Ok((routes(&spec.http)?, transcoding))
}

fn routes(routes: &[HttpRoute]) -> Result<Routes, FrontFlaw> {
    let routes = routes.iter().enumerate();
    let routes = routes.map(|(at, written)| route(written).map_err(|flaw| FrontFlaw::Route(at, flaw)));
    Routes::new(routes.collect::<Result<_, _>>()?).map_err(FrontFlaw::Routes)
}

fn route(written: &HttpRoute) -> Result<Route, InvalidRoute> {
    let HttpRoute {
        r#match: HttpMatch { method, path },
        call,
        descriptor,
        serialization,
        arguments,
        errors,
    } = written;
    let matching = Match {
        method: match method {
            RouteMethod::Get => HttpMethod::Get,
            RouteMethod::Post => HttpMethod::Post,
            RouteMethod::Put => HttpMethod::Put,
            RouteMethod::Patch => HttpMethod::Patch,
            RouteMethod::Delete => HttpMethod::Delete,
        },
        path: Template::new(path.as_str())?,
    };
    let errors = errors.iter().map(|RouteError { code, status }| ErrorStatus {
        code: *code,
        status: *status,
    });
    Route {
        matching,
        call: MethodName::new(call.as_str())?,
        descriptor: descriptor.clone(),
        serialization: match serialization {
            None | Some(RouteSerialization::Simple) => Serialization::Simple,
            Some(RouteSerialization::Hessian2) => Serialization::Hessian2,
            Some(RouteSerialization::Breeze) => Serialization::Breeze,
        },
        arguments: arguments.iter().map(argument).collect::<Result<_, _>>()?,
        errors: errors.collect(),
    }
    .check()
}

fn argument(written: &RouteArgument) -> Result<Argument, InvalidRoute> {
    let RouteArgument {
        path,
        query,
        header,
        body,
        kind,
        optional,
        fallback,
    } = written.clone();
    RawArgument {
        path,
        query,
        header,
        body: body.map(|form| match form {
            RouteBody::Json => BodyForm::Json,
            RouteBody::Text => BodyForm::Text,
            RouteBody::Bytes => BodyForm::Bytes,
        }),
        kind: kind.map(|kind| match kind {
            RouteKind::String => ScalarKind::String,
            RouteKind::Int64 => ScalarKind::Int64,
            RouteKind::Int32 => ScalarKind::Int32,
            RouteKind::Bool => ScalarKind::Bool,
            RouteKind::Float64 => ScalarKind::Float64,
            RouteKind::Float32 => ScalarKind::Float32,
            RouteKind::Bytes => ScalarKind::Bytes,
        }),
        optional: optional.unwrap_or_default(),
        fallback,
    }
    .try_into()
}

/// Reads a descriptor set, and whether what its annotations say can be followed.
fn transcoding(written: &GrpcSpec) -> Result<Transcoding, FrontFlaw> {
    let descriptor_set = DescriptorSet::read(&written.descriptor_set)?;
    descriptor_set.check_rules()?;
    Ok(Transcoding { descriptor_set })
}
