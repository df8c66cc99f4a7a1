//go:build tools

// Package tools pins helm. It has a module of its own because its
// dependencies clash with those of the Kubernetes components.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
