//! A Node: the zone that it is in, and with it the pods that run there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::Zone;

/// The label of a node that names its zone (Kubernetes, well-known labels).
const ZONE: &str = "topology.kubernetes.io/zone";

/// The zone that a node says; a name that can't be one is none.
pub(super) fn zone(metadata: &ObjectMeta) -> Option<Zone> {
    Zone::new(metadata.labels.as_ref()?.get(ZONE)?.as_str()).ok()
}
