# shellcheck shell=bash
# Who may speak to whom: one CA, three leaf certificates, a key that signs
# service account tokens, and for every component a token with a kubeconfig.

make_pki() { # NODES
  local i
  mkdir -m 700 "$RUN/pki" "$RUN/kube"
  make_ca
  make_leaf apiserver /CN=kube-apiserver serverAuth \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$CONTROL_IP,IP:$API_SERVICE_IP"
  make_leaf apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  make_leaf front-proxy /CN=front-proxy-client clientAuth
  make_key sa
  openssl ec -in "$RUN/pki/sa.key" -pubout -out "$RUN/pki/sa.pub" 2>/dev/null

  add_user admin admin system:masters
  add_user controller-manager system:kube-controller-manager ''
  add_user scheduler system:kube-scheduler ''
  add_user proxy system:kube-proxy ''
  add_user dns coredns ''
  for ((i = 1; i <= $1; i++)); do add_user "kubelet-n$i" "system:node:n$i" system:nodes; done
}

make_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$RUN/pki/$1.key"; }

make_ca() {
  make_key ca
  openssl req -x509 -new -key "$RUN/pki/ca.key" -days 30 -subj /CN=motanmesh-ca -out "$RUN/pki/ca.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature,cRLSign
}

make_leaf() { # FILE SUBJECT USAGE [NAMES]
  local file=$RUN/pki/$1
  make_key "$1"
  openssl req -new -key "$file.key" -subj "$2" |
    openssl x509 -req -CA "$RUN/pki/ca.crt" -CAkey "$RUN/pki/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
      -days 30 -out "$file.crt" -extfile <(echo "extendedKeyUsage=$3${4:+$'\n'subjectAltName=$4}") 2>/dev/null
}

add_user() { # FILE USER GROUP
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$2,$2,\"$3\"" >>"$RUN/pki/tokens.csv"
  fill kubeconfig SERVER="https://$CONTROL_IP:6443" CA="$(base64 -w0 <"$RUN/pki/ca.crt")" TOKEN="$token" CLUSTER="$NAME" >"$RUN/kube/$1.conf"
}
