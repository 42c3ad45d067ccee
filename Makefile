# make up     a lab of virtual machines, from nothing
# make test   everything that CI runs
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup up test check unit conformance integration netns vm test-containerd2 bench peer hostile faults clean

help:           ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## install system packages and .venv with the kubelab command; start nothing

.venv/ready: setup.sh pyproject.toml images/guest/requirements.lock tests/constraints.txt
	./setup.sh

up: setup       ## boot the lab of lab.yaml and wait until it is ready
	$(BIN)/kubelab up

check: setup    ## lint, types, import contracts, unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n auto tests/unit

conformance: setup ## one suite an interface, against every implementation
	$(PYTEST) tests/conformance

integration: setup ## the whole control plane on SQLite and on etcd, with stock kubectl
	$(PYTEST) -n auto tests/integration

netns: setup    ## network namespaces as nodes, real containerd, real netfilter
	$(PYTEST) -n auto --dist loadfile tests/netns

vm: setup       ## a lab of virtual machines: up, verify, destroy
	$(BIN)/python -m tests.vm.lab

test: check conformance integration netns vm ## everything, as CI runs it

test-containerd2: setup ## what only containerd 2 can, on that of Debian 14, fetched into build/containerd2
	tests/containerd2/fetch.sh
	KUBELAB_CONTAINERD=$(CURDIR)/build/containerd2 $(PYTEST) --timeout=900 -n auto --dist loadfile tests/containerd2

bench: setup    ## measure; each figure is a ratio with its floor or peer
	$(BIN)/python -m bench

peer:           ## build the real control plane for the benches into build/peer, eleven minutes
	nice bench/peer.sh kube-apiserver kube-controller-manager kube-scheduler

hostile: setup  ## 100,000 malformed requests, 1,000 kills under writes on each store, 10,000 NetworkPolicies
	for store in sqlite etcd; do \
	  $(BIN)/python -m tests.hostile --store $$store && $(BIN)/python -m tests.hostile.kills --store $$store || exit 1; \
	done
	KUBELAB_OPERATIONS=100 $(PYTEST) tests/integration/test_operations.py
	KUBELAB_HOSTILE_POLICIES=10000 KUBELAB_RANDOM_POLICIES=200 $(PYTEST) tests/netns/policy

faults: setup   ## every fault of nodes, controllers and networks as often and as long as promised, over an hour
	KUBELAB_STATES=100 KUBELAB_STATES_SEED=1 $(PYTEST) tests/integration/test_state_machine.py
	KUBELAB_STATES=100 KUBELAB_STATES_SEED=2 KUBELAB_STATES_KILL=60 $(PYTEST) tests/integration/test_state_machine.py
	KUBELAB_FAULTS=full $(PYTEST) -s tests/netns/kubelet/test_faults_*.py tests/integration/test_faults_controllers.py
	KUBELAB_PAIRS=200 KUBELAB_PROXY_REQUESTS=3000 $(PYTEST) tests/netns/explain tests/netns/proxy

clean:          ## remove caches; never a lab
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
