# shellcheck shell=bash
# One network namespace for the control plane, with a bridge; one for each
# node, joined to it by a cable (veth). Pods are routed, not translated: the
# way to a node's pod range is known to the control plane and to every node.
# The control plane reaches Services through the first node that lives.

make_control_network() { # NODES
  local i
  ip netns add "$NETNS"
  {
    echo link set lo up
    echo link add br0 type bridge
    echo addr add "$CONTROL_IP/24" dev br0
    echo link set br0 up
    for ((i = 1; i <= $1; i++)); do echo route add "$(node_pods "$i")" via "$(node_ip "$i")"; done
  } | ip -netns "$NETNS" -batch -
  in_netns "$NETNS" sysctl -qw net.ipv4.ip_forward=1
}

make_node_network() { # INDEX
  local netns i
  netns=$(node_netns "$1")
  ip netns add "$netns"
  {
    echo link add "n$1" type veth peer name eth0 netns "$netns"
    echo link set "n$1" master br0 up
  } | ip -netns "$NETNS" -batch -
  {
    echo link set lo up
    echo addr add "$(node_ip "$1")/24" dev eth0
    echo link set eth0 up
    echo route add default via "$CONTROL_IP"
    for ((i = 1; i <= $(node_count); i++)); do
      ((i == $1)) || echo route add "$(node_pods "$i")" via "$(node_ip "$i")"
    done
  } | ip -netns "$netns" -batch -
  in_netns "$netns" sysctl -qw net.ipv4.ip_forward=1
}

# Unplugging comes before anything else of a node ends: peers of a dead
# machine get no FIN and no RST.
unplug_node() { ip -netns "$NETNS" link del "n$1" 2>/dev/null || true; }

route_services() {
  local i
  for ((i = 1; i <= $(node_count); i++)); do
    node_alive "$i" || continue
    ip -netns "$NETNS" route replace "$SERVICE_RANGE" via "$(node_ip "$i")"
    return
  done
}
