# The only entrance: CI, the README and people use these words and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CLUSTER := e2e/cluster/cluster
# Builds outlive a clone: keyed by content they are shared, and a second clone starts warm.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/motanmesh
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_TERM_COLOR ?= auto

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: check
check: ## format, lints, dependency walls, licences, generated files, chart
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked
	e2e/check/walls
	e2e/check/deny
	e2e/check/generated
	e2e/check/chart

.PHONY: test-fast
test-fast: ## everything that needs no cluster
	cargo build --locked --bins
	cargo test --workspace --locked
	cd e2e/cluster && go vet ./mkimage ./pause && go test ./mkimage
	cd e2e/peers/go && go vet .
	cd e2e/peers/web-go && go vet .

.PHONY: peers
peers: ## the programs on others' libraries that tests call: prints where they are
	e2e/peers/build

.PHONY: test
test: test-fast test-cluster ## everything: unit, property, local processes, real cluster

.PHONY: test-cluster
test-cluster: image ## the tests on a real cluster (KUBECONFIG, or the built-in one, which is tested first)
	[[ -n "$${KUBECONFIG:-}" ]] || e2e/cluster/check
	e2e/run-tests

.PHONY: demo
demo: image ## the main job on a real cluster
	e2e/demo/run

.PHONY: demo-down
demo-down: ## remove the demo, and the built-in cluster with it
	e2e/demo/down

.PHONY: bench
bench: image ## figures beside motan-go and Envoy: calls, latency, cost, memory, start (QUICK=1: a few minutes)
	e2e/bench $(if $(QUICK),--quick)

.PHONY: image
image: ## the images as OCI archives, without Docker, in build/images
	e2e/images

.PHONY: generate
generate: ## regenerate what is committed but made
	cargo run -q --locked -p motanmesh-crds > crds/motanmesh.io.yaml.new
	mv crds/motanmesh.io.yaml.new crds/motanmesh.io.yaml
	cp crds/motanmesh.io.yaml charts/motanmesh/files/motanmesh.io.yaml

.PHONY: cluster-up cluster-down cluster-load
cluster-up: ## a real two-node Kubernetes on this machine
	$(CLUSTER) up
cluster-down: ## end it, leaving nothing
	$(CLUSTER) down
cluster-load: ## import an image archive into its nodes: make cluster-load IMAGE=file.tar
	$(CLUSTER) load $(IMAGE)

.PHONY: clean
clean: ## remove what was built here (caches of tools stay: rm -r them under ~/.cache/motanmesh)
	cargo clean
	rm -rf build
