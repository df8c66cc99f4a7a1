# shellcheck shell=bash
# Ending a cluster, whatever state it is in. Nothing here relies on what an
# `up` that was killed may not have written: what belongs to a cluster is found
# by its namespaces and cgroups.

take_down() {
  local i
  for ((i = 1; i <= MAX_NODES; i++)); do unplug_node "$i"; done
  end_members "$(cluster_netns)" ''
  await 5 "cgroups of cluster $NAME stay" "$CGROUPS/*/$GROUP" remove_cgroups
  for i in $(cluster_netns); do ip netns del "$i"; done
  remove_run
  restore_machine
  verify_gone
}

# The network namespaces of this cluster, by name.
cluster_netns() {
  local file
  for file in "/run/netns/$NETNS" "/run/netns/$NETNS".n*; do
    [[ ! -e $file ]] || echo "${file##*/}"
  done
}

# end_members "NETNS..." GROUP...: kills every process in these network
# namespaces and cgroups, and waits until there is none. The empty GROUP is
# the whole cluster.
end_members() {
  local deadline=$((SECONDS + 10)) pids group
  for group in "${@:2}"; do thaw_cgroups "$group"; done
  while pids=$(members "$@") && [[ -n $pids ]]; do
    ((SECONDS < deadline)) || die "processes of cluster $NAME do not end: ${pids//$'\n'/ }"
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.02
  done
}

members() { # "NETNS..." GROUP...: pids, without this command's family
  local pid group
  # shellcheck disable=SC2086
  for pid in $(netns_members $1 && for group in "${@:2}"; do cgroup_members "$group"; done); do
    [[ ! -e /proc/$pid ]] || is_family "$pid" || echo "$pid"
  done | sort -u
}

netns_members() { # NETNS...
  local netns inode match=()
  for netns; do
    inode=$(stat -Lc %i "/run/netns/$netns") && match+=(-o -lname "net:\[$inode\]")
  done
  ((${#match[@]} == 0)) || find /proc/[0-9]*/ns/net -maxdepth 0 \( "${match[@]:1}" \) | cut -d/ -f3 || true
} 2>/dev/null

# is_family PID: this process, its ancestors, its descendants. `down` may be
# called inside `exec`, where all of these are in the cluster's network.
is_family() {
  local pid
  for ((pid = $$; pid > 0; pid = PARENT)); do
    [[ $pid != "$1" ]] || return 0
    parent_of "$pid"
  done
  for ((pid = $1; pid > 0; pid = PARENT)); do
    [[ $pid != "$$" ]] || return 0
    parent_of "$pid"
  done
  return 1
}
parent_of() { # PID: sets PARENT, to 0 if the process has gone
  local stat
  PARENT=0
  if read -r stat <"/proc/$1/stat"; then
    read -r _ PARENT _ <<<"${stat##*) }" # the command's name may hold spaces
  fi
} 2>/dev/null

remove_run() {
  [[ -d $RUN ]] || return 0
  ! grep -F " $RUN/" /proc/mounts >&2 || die "mounts are left in $RUN: not removing it"
  rm -rf --one-file-system "$RUN"
  rmdir "$RUNS" 2>/dev/null || true
}

verify_gone() {
  local left=()
  [[ -z $(cluster_netns) ]] || left+=("network namespaces: $(cluster_netns)")
  [[ -z $(cgroup_trees) ]] || left+=("cgroups: $(cgroup_trees)")
  [[ ! -e $RUN ]] || left+=("$RUN")
  ! grep -qF " $RUN" /proc/mounts || left+=("mounts: $(grep -F " $RUN" /proc/mounts)")
  ((${#left[@]} == 0)) || die "left of cluster $NAME: ${left[*]}"
}

# --- the machine: the kubelet sets these for the whole of it. They are saved
# before the first cluster and restored after the last.

SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

with_machine() { # COMMAND...: one at a time on this machine
  (
    mkdir -p "$MACHINE"
    exec 7>"$MACHINE/lock"
    flock --timeout 30 7 || die "$MACHINE/lock is held for too long"
    "$@"
  )
}

save_machine() { with_machine save_sysctls; }
save_sysctls() {
  mkdir -p "$RUN"
  [[ -e $MACHINE/sysctls ]] && return
  sysctl --ignore "${SYSCTLS[@]}" >"$MACHINE/sysctls.part"
  mv "$MACHINE/sysctls.part" "$MACHINE/sysctls"
}

restore_machine() { with_machine restore_sysctls; }
restore_sysctls() {
  [[ -e $MACHINE/sysctls && -z $(cluster_names) ]] || return 0
  sysctl --quiet --ignore --load "$MACHINE/sysctls"
  rm "$MACHINE/sysctls"
  rmdir /var/lib/kubelet /var/lib/cni 2>/dev/null || true # mount points of nodes, if empty
}

# Clusters that are up, or that were when they were killed.
cluster_names() {
  local dir
  for dir in "$RUNS"/*/; do
    [[ ! -d $dir ]] || basename "$dir"
  done
}

# --- owners: a cluster may end with the process that wanted it. A pid may be
# used again, so a process is known by its pid and its start.

process_id() { # PID: "PID START", or nothing if there is no such process
  local stat
  stat=$(cat "/proc/$1/stat") || return 0
  stat=${stat##*) } # what follows the command's name: field 3 and on
  # shellcheck disable=SC2086
  set -- "$1" $stat
  [[ $2 == Z ]] || echo "$1 ${21}" # START is field 22
} 2>/dev/null

owner_dead() {
  local owner
  owner=$(cat "$RUN/owner" 2>/dev/null) || return
  [[ $(process_id "${owner%% *}") != "$owner" ]]
}

reap() {
  local name
  for name in $(cluster_names); do
    use_cluster "$name"
    owner_dead || continue
    lock_cluster
    if owner_dead; then
      take_down
      drop_lock
      say "cluster $name is down: its owner has ended"
    fi
  done
}
