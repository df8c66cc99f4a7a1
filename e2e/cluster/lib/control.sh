# shellcheck shell=bash
# The control plane: etcd, API server, controller manager, scheduler. The real
# ones with their defaults, apart from what is explained here.

# etcd's data lives in a tmpfs that only etcd sees and that ends with it: this
# cluster is thrown away, so nothing waits for a disk.
start_etcd() {
  local url=http://127.0.0.1:2379 peers=http://127.0.0.1:2380
  mkdir "$RUN/etcd"
  # shellcheck disable=SC2016
  spawn etcd "$NETNS" unshare --mount sh -c 'mount -t tmpfs -o size=2g etcd "$0" && exec "$@"' "$RUN/etcd" \
    "$BIN/etcd" --data-dir "$RUN/etcd/data" --unsafe-no-fsync --log-level warn \
    --listen-client-urls $url --advertise-client-urls $url \
    --listen-peer-urls $peers --initial-advertise-peer-urls $peers --initial-cluster default=$peers
}

# Aggregator routing makes admission webhooks go to a Service's endpoints: the
# control plane has routes to pods, and runs no kube-proxy.
start_apiserver() {
  local pki=$RUN/pki issuer=https://kubernetes.default.svc.cluster.local
  spawn kube-apiserver "$NETNS" "$BIN/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$CONTROL_IP" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" --token-auth-file="$pki/tokens.csv" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-cluster-ip-range="$SERVICE_RANGE" \
    --service-account-issuer=$issuer --api-audiences=$issuer \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
    --enable-aggregator-routing=true --allow-privileged=true --profiling=false --v=1
}

# Both only after the API server is ready: before, the first exits and the
# second backs off. Throttling is lifted, and a dead node is seen in 16 s.
start_controllers() {
  local conf=$RUN/kube/controller-manager.conf pki=$RUN/pki
  local common=(--leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=1000 --kube-api-burst=2000 --v=1)
  spawn kube-controller-manager "$NETNS" "$BIN/kube-controller-manager" "${common[@]}" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" \
    --use-service-account-credentials=true --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --allocate-node-cidrs=false --flex-volume-plugin-dir="$RUN/flex" \
    --node-monitor-period=2s --node-monitor-grace-period=16s
  conf=$RUN/kube/scheduler.conf
  spawn kube-scheduler "$NETNS" "$BIN/kube-scheduler" "${common[@]}" \
    --kubeconfig="$conf" --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf"
}

apply_dns() {
  mkdir -m 700 "$RUN/dns"
  cp "$HERE/conf/Corefile" "$RUN/dns/Corefile"
  ln "$RUN/kube/dns.conf" "$RUN/dns/kubeconfig"
  fill dns.yaml IMAGE="$PAUSE_IMAGE" BIN="$BIN" CONF="$RUN/dns" DNS_IP="$DNS_IP" | kubectl create -f - >/dev/null
}
dns_answers() { # INDEX
  in_netns "$(node_netns "$1")" timeout 1 busybox nslookup kubernetes.default.svc.cluster.local "$DNS_IP"
}
