# shellcheck shell=bash
# A node is one process tree in namespaces of its own, under the small script
# lib/node-init as its PID 1. Killing that process ends the node with all its
# containers; starting it again on the same directories is a reboot.

node_start() { # INDEX
  local n=n$1
  make_node_network "$1"
  remove_cgroups "$n" || true # of a life before: the kubelet loses seconds on each
  remove_cgroups "$n-sys" || true
  make_node_cgroups "$1"
  mkdir -p "$RUN/$n"
  spawn "$n" "$(node_netns "$1")" \
    unshare --mount --pid --fork --uts --ipc --mount-proc --kill-child=SIGKILL \
    env MOTANMESH_RUN="$RUNS" "$HERE/lib/node-init" "$NAME" "$1"
}

node_kill() { # INDEX
  unplug_node "$1"
  end_members "$(node_netns "$1")" "n$1" "n$1-sys"
  ip netns del "$(node_netns "$1")" 2>/dev/null || true
  remove_cgroups "n$1" || true
  remove_cgroups "n$1-sys" || true
}

# node_pid INDEX: its PID 1, as seen from here.
node_pid() {
  local parent child inode
  parent=$(cat "$RUN/pids/n$1") && child=$(cat "/proc/$parent/task/$parent/children") || return
  inode=$(stat -Lc %i "/run/netns/$(node_netns "$1")") || return
  [[ $(readlink "/proc/${child%% *}/ns/net") == "net:[$inode]" ]] || return # the pid is another process's by now
  echo "${child%% *}"
} 2>/dev/null
node_alive() { node_pid "$1" >/dev/null; }

# in_node INDEX COMMAND...: with all of the node's namespaces.
in_node() {
  local pid
  pid=$(node_pid "$1") || die "node $1 of cluster $NAME is not running"
  nsenter --target "$pid" --mount --pid --uts --ipc --net -- "${@:2}" 9>&-
}

# load IMAGE.tar...: into every living node, all nodes at once. The file comes
# by stdin: it may be in a place that the node does not see.
load() {
  local i tar jobs=()
  for ((i = 1; i <= $(node_count); i++)); do
    node_alive "$i" || { say "node n$i is not running: nothing loaded there" && continue; }
    for tar; do in_node "$i" ctr --namespace k8s.io images import - <"$tar" || exit 1; done >/dev/null &
    jobs+=($!)
  done
  for i in "${jobs[@]}"; do wait "$i" || die "could not import $*"; done
}
