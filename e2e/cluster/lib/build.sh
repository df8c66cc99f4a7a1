# shellcheck shell=bash
# What a cluster is made of: Debian packages for containerd and the network
# tools, and binaries built from Go modules. A binary is kept in the cache
# under the hash of all it is built from, and built once, whoever asks.

# COMMAND-or-file:package
PACKAGES=(
  containerd:containerd ctr:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins
  iptables:iptables nft:nftables conntrack:conntrack ipset:ipset
  ip:iproute2 nsenter:util-linux unshare:util-linux flock:util-linux sysctl:procps
  openssl:openssl curl:curl /usr/share/doc/busybox-static:busybox-static
)

# install_packages: only what is missing, so that an equipped machine needs no apt.
install_packages() {
  local entry what missing=()
  for entry in "${PACKAGES[@]}"; do
    what=${entry%%:*}
    if [[ $what == /* ]]; then [[ -e $what ]]; else command -v "$what" >/dev/null; fi ||
      missing+=("${entry##*:}")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  local log=$CACHE/apt.log
  mkdir -p "$CACHE"
  apt_install "${missing[@]}" >"$log" 2>&1 || {
    apt-get update >"$log" 2>&1 && apt_install "${missing[@]}" >>"$log" 2>&1
  } || die "apt-get could not install ${missing[*]}; look into $log"
}
apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# need KIND: sets DIR to the directory that holds the binaries of that kind,
# keyed by the sources, the functions below that build them, and Go.
need() {
  local kind=$1 key
  command -v go >/dev/null || die "go is not installed (see https://go.dev/dl)"
  key=$(
    go_version
    declare -f "build_$kind" go_build kubernetes_flags
    "sources_$kind" | xargs cat
  ) || die "cannot read what $kind is built from"
  key=$(sha256sum <<<"$key")
  DIR=$CACHE/$kind/${key:0:16}
  [[ -d $DIR ]] || fill_cache "$kind"
  touch "$DIR"
}

fill_cache() { # KIND
  local kind=$1 parent=$CACHE/$1 log=$CACHE/$1.log
  mkdir -p "$parent"
  exec 8>"$parent/.lock"
  flock 8
  if [[ ! -d $DIR ]]; then
    say "building $kind${HINT[$kind]}"
    rm -rf "$parent"/*.part # of a build that was killed
    mkdir "$DIR.part"
    "build_$kind" "$DIR.part" >"$log" 2>&1 || die "building $kind failed; look into $log"
    mv "$DIR.part" "$DIR"
    prune "$parent"
  fi
  exec 8>&-
}

# prune DIRECTORY: keeps its two newest entries, enough for going back and
# forth between two branches.
prune() {
  find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +3 |
    cut -d' ' -f2- | xargs -r -d '\n' rm -rf
}

go_version() { (cd "$HERE/build" && GOWORK=off go env GOVERSION GOARCH); }

# go_build MODULE OUT ARGS...: a static binary that does not name this machine.
go_build() {
  (cd "$HERE/$1" && GOWORK=off GOFLAGS='' CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$2" "${@:3}")
}

# --- each kind: what it is built from, and how

declare -A HINT=(
  [kube]=" (Kubernetes: 6 minutes on 2 cores the first time)"
  [helm]=" (1 minute the first time)"
  [tools]=""
)

sources_kube() { printf '%s\n' "$HERE"/build/{main.go,go.mod,go.sum}; }
build_kube() {
  go_build build "$1/kube" -tags selinux,notest,grpcnotrace -ldflags "-s -w $(kubernetes_flags)" .
}
# Without its version set, the API server calls itself v0.0.0 and misjudges
# feature gates.
kubernetes_flags() {
  local version minor part
  version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$HERE/build/go.mod")
  minor=${version#v1.}
  for part in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- "-X $part.%s " "gitVersion=$version" gitMajor=1 "gitMinor=${minor%.*}" \
      gitTreeState=clean buildDate=1970-01-01T00:00:00Z
  done
}

sources_helm() { printf '%s\n' "$HERE"/helm/{tools.go,go.mod,go.sum}; }
build_helm() { go_build helm "$1/helm" -ldflags '-s -w' helm.sh/helm/v3/cmd/helm; }

# mkimage, and the image of pause made with it.
sources_tools() { printf '%s\n' "$HERE"/go.mod "$HERE"/mkimage/{main,image}.go "$HERE"/pause/main.go; }
build_tools() {
  go_build . "$1/mkimage" -ldflags '-s -w' ./mkimage &&
    go_build . "$1/pause" -ldflags '-s -w' ./pause &&
    "$1/mkimage" --out "$1/pause.tar" --name "$PAUSE_IMAGE" --user 65532:65532 --entrypoint /pause "$1/pause:/pause:755"
}
