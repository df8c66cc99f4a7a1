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
  local tree
  for tree in $(cgroup_trees "${1:-}"); do
    find "$tree" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -u
}

# A frozen process does not die before it is thawed.
thaw_cgroups() { # [NAME]
  local tree file
  for tree in $(cgroup_trees "${1:-}"); do
    while read -r file; do echo THAWED >"$file" || true; done < <(find "$tree" -name freezer.state 2>/dev/null)
    while read -r file; do echo 0 >"$file" || true; done < <(find "$tree" -mindepth 1 -name cgroup.freeze 2>/dev/null)
  done 2>/dev/null
}

remove_cgroups() { # [NAME]: bottom up
  local tree
  for tree in $(cgroup_trees "${1:-}"); do
    find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  [[ -z $(cgroup_trees "${1:-}") ]]
}
