# shellcheck shell=bash
# What every other part stands on: names, addresses, messages, waiting, locks.
# Names carry the cluster's own name, so that several can run at once; address
# ranges need not, because nothing leaves the cluster's network namespaces.

# All clusters of this machine, and what is kept between them.
RUNS=$(realpath --canonicalize-missing "${MOTANMESH_RUN:-/var/tmp/motanmesh}")
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/motanmesh/cluster
# State of the machine, gone at its next boot: locks, and sysctls to restore.
MACHINE=/run/motanmesh

# One cluster's addresses.
CONTROL_IP=10.200.0.1 # the API server, on the bridge that joins the nodes
SERVICE_RANGE=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10
POD_RANGE=10.244.0.0/16
MAX_NODES=9
node_ip() { echo "10.200.0.$((10 + $1))"; }
node_pods() { echo "10.244.$1.0/24"; }

PAUSE_IMAGE=motanmesh.test/pause:1

# use_cluster NAME: sets the names of everything that belongs to that cluster.
use_cluster() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$ ]] ||
    die "'$1' is no cluster name: up to 20 of a-z 0-9 and inner dashes"
  NAME=$1
  RUN=$RUNS/$NAME            # everything on disk
  BIN=$RUN/bin               # links into the cache, so that pruning it is safe
  NETNS=motanmesh-$NAME      # control plane; nodes are $NETNS.n1 and so on (no name has a dot)
  GROUP=motanmesh-$NAME      # cgroup, in every hierarchy
  ADMIN=$RUN/kube/admin.conf # kubeconfig
}
node_netns() { echo "$NETNS.n$1"; }
node_count() { cat "$RUN/nodes"; }

# --- messages: to stderr, with the seconds since the start of this command

STARTED=${EPOCHREALTIME/[.,]/}
say() {
  local us=$((${EPOCHREALTIME/[.,]/} - STARTED))
  printf '%4d.%02ds  %s\n' $((us / 1000000)) $((us % 1000000 / 10000)) "$*" >&2
}
die() {
  echo "cluster: $*" >&2
  exit 1
}

# await SECONDS WHAT LOG COMMAND...: polls COMMAND until it succeeds, or dies.
await() {
  local deadline=$((SECONDS + $1)) what="$2 (not within $1 s)" log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what; look into $log"
    sleep 0.1
  done
}

# --- locks: released by the kernel when this command ends, however it ends.
# Whatever outlives this command, or may hang, is started without descriptor 9.

lock_cluster() {
  local file=$MACHINE/$NAME.lock
  mkdir -p "$MACHINE"
  exec 9>"$file"
  if ! flock --nonblock 9; then
    say "another command works on cluster $NAME: waiting for it"
    flock --timeout 900 9 || die "cluster $NAME is still locked ($file)"
  fi
  [[ $file -ef /proc/$BASHPID/fd/9 ]] || lock_cluster # it was a cluster's last: that file has gone
}
drop_lock() {
  rm -f "$MACHINE/$NAME.lock"
  exec 9>&-
}

# --- running things in a cluster

in_netns() { # NETNS COMMAND...
  nsenter --net="/run/netns/$1" -- "${@:2}" 9>&-
}
kubectl() { in_netns "$NETNS" "$BIN/kubectl" --kubeconfig="$ADMIN" "$@"; }
# Succeeds when the API server says so; to be run in any of the namespaces.
API_READY=(curl -sk --fail --max-time 2 -o /dev/null "https://$CONTROL_IP:6443/readyz")

# spawn WHAT NETNS COMMAND...: a daemon with its log and pid in the run
# directory. It gets nothing else of the caller's: a proxy variable would send
# the components out of the cluster, an open descriptor would hold a lock, or
# a pipe that a test harness waits on.
spawn() {
  local what=$1 netns=$2
  shift 2
  (
    close_descriptors
    exec setsid env -i PATH="$PATH" HOME=/root nsenter --net="/run/netns/$netns" -- "$@"
  ) >"$RUN/log/$what.log" 2>&1 </dev/null &
  echo $! >"$RUN/pids/$what"
}
close_descriptors() { # 255 is the shell's own
  local fd
  for fd in "/proc/$BASHPID/fd"/*; do
    fd=${fd##*/}
    ((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
  done
}

# fill TEMPLATE KEY=VALUE...: prints TEMPLATE with every @KEY@ replaced.
fill() {
  local template=$1 text pair
  text=$(<"$HERE/conf/$template")
  shift
  for pair; do text=${text//"@${pair%%=*}@"/"${pair#*=}"}; done
  printf '%s\n' "$text"
}
