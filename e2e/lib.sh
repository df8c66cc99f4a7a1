# What the scripts here share: one way to reach a cluster (KUBECONFIG's, or the built-in one), to give it our images and to
# install the chart. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLUSTER=$ROOT/e2e/cluster/cluster
IMAGES=$ROOT/build/images
MESH_NAMESPACE=motanmesh
# Names that no registry has: the images are imported, never pulled.
IMAGE_PREFIX=motanmesh.local
IMAGE_TAG=dev

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Builds outlive a clone: the same folder as in the Makefile.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/motanmesh/target}
# The folder of the release binaries that `make image` built.
static_binaries() { echo "$CARGO_TARGET_DIR/$(rustc -vV | awk '/^host:/{print $2}')/release"; }

own_cluster() { [[ -z ${KUBECONFIG:-} ]]; }

# Brings up the built-in cluster $1, ended with process $2 if given; with KUBECONFIG only looks at that cluster.
use_cluster() {
  export MOTANMESH_CLUSTER=$1
  if own_cluster; then
    "$CLUSTER" up ${2:+--owner "$2"}
  else
    kubectl version >/dev/null || die "KUBECONFIG is set, but that cluster does not answer"
  fi
}

# Runs a command where API server, pods and Services can be reached.
in_cluster() {
  if own_cluster; then "$CLUSTER" exec -- "$@"; else "$@"; fi
}

kubectl() {
  if own_cluster; then "$CLUSTER" kubectl "$@"; else command kubectl "$@"; fi
}

helm() {
  local helm
  helm=$("$CLUSTER" helm)
  in_cluster "$helm" "$@"
}

# Gives the cluster's nodes image archives.
load_images() {
  local context
  if own_cluster; then
    "$CLUSTER" load "$@"
    return
  fi
  context=$(command kubectl config current-context)
  if [[ $context == kind-* ]] && command -v kind >/dev/null; then
    local image
    for image in "$@"; do kind load image-archive --name "${context#kind-}" "$image"; done
  elif [[ -n ${MOTANMESH_REGISTRY:-} ]]; then
    IMAGE_PREFIX=$MOTANMESH_REGISTRY
    note "images are expected at $IMAGE_PREFIX (MOTANMESH_REGISTRY), tag $IMAGE_TAG"
  else
    die "this is neither kind nor the built-in cluster: push the images of $IMAGES and set MOTANMESH_REGISTRY"
  fi
}

# Installs or upgrades the chart; arguments go to helm.
install_mesh() {
  helm upgrade --install motanmesh "$ROOT/charts/motanmesh" --namespace "$MESH_NAMESPACE" --create-namespace \
    --set images.registry="$IMAGE_PREFIX" --set images.tag="$IMAGE_TAG" --wait --timeout 120s "$@" >/dev/null
}
