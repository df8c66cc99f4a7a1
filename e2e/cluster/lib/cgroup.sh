# shellcheck shell=bash
# Every node has a cgroup of its own for its pods, and one beside it for its
# daemons: $GROUP/n1 and $GROUP/n1-sys. In cgroup v1 that is one directory per
# hierarchy; in v2 there is one tree.

CGROUPS=/sys/fs/cgroup

cgroup_roots() {
  if [[ -e $CGROUPS/cgroup.controllers ]]; then echo "$CGROUPS"; else printf '%s\n' "$CGROUPS"/*/; fi
}

make_node_cgroups() { # INDEX
  local root dir
  for root in $(cgroup_roots); do
    mkdir -p "$root/$GROUP/n$1" "$root/$GROUP/n$1-sys"
    for dir in "$GROUP" "$GROUP/n$1" "$GROUP/n$1-sys"; do
      if [[ -e $root/$dir/cgroup.controllers ]]; then
        delegate "$root/${dir%/*}"
      elif [[ -e $root/$dir/cpuset.cpus ]]; then
        fill_cpuset "$root" "$root/$dir"
      fi
    done
  done
}

# v2: a group has the controllers that the group above hands down.
delegate() { # DIRECTORY
  local controller
  for controller in $(<"$1/cgroup.controllers"); do
    echo "+$controller" >"$1/cgroup.subtree_control" || true
  done
}

# v1: a cpuset without CPUs and memory takes no process.
fill_cpuset() { # FROM TO
  local file
  for file in cpuset.cpus cpuset.mems; do
    [[ -n $(<"$2/$file") ]] || cat "$1/$file" >"$2/$file"
  done
}

join_cgroup() { # NAME
  local root
  for root in $(cgroup_roots); do echo $$ >"$root/$GROUP/$1/cgroup.procs"; done
}

# cgroup_trees [NAME]: the directories of the cluster, or of one group in it.
cgroup_trees() {
  local root
  for root in $(cgroup_roots); do
    [[ ! -d $root/$GROUP${1:+/$1} ]] || echo "$root/$GROUP${1:+/$1}"
  done
}

cgroup_members() { # [NAME]
  in_cgroups "${1:-}" -name cgroup.procs -exec cat {} + | sort -u
}

# A frozen process does not die before it is thawed.
thaw_cgroups() { # [NAME]
  local file
  for file in $(in_cgroups "${1:-}" -name freezer.state); do echo THAWED >"$file" || true; done
  for file in $(in_cgroups "${1:-}" -name cgroup.freeze); do echo 0 >"$file" || true; done
} 2>/dev/null

remove_cgroups() { # [NAME]: bottom up
  in_cgroups "${1:-}" -depth -type d -exec rmdir {} + || true
  [[ -z $(cgroup_trees "${1:-}") ]]
}

in_cgroups() { # NAME FIND-EXPRESSION...
  local trees
  mapfile -t trees < <(cgroup_trees "$1")
  ((${#trees[@]} == 0)) || find "${trees[@]}" "${@:2}" 2>/dev/null || true # groups may vanish under it
}
