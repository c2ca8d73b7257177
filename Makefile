# The project's commands. `make demo` and `make test` set up all they need.
.DEFAULT_GOAL := help
.PHONY: help build demo run run-cluster images demo-cluster test lint cluster crash rotate fuzz bench bench-scale crds chart clean-demo
SHELL := /bin/bash

CARGO ?= cargo
FUZZ_SECONDS ?= 60

help: ## Lists the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## Builds the programs
	$(CARGO) build --workspace

demo: build ## Tracks a real mail on this machine and shows every step
	$(CARGO) run --quiet --bin demo

run: build ## Leaves the data plane running, to open and click the mail in a browser
	$(CARGO) run --quiet --bin demo -- --stay

images: build ## Makes images of both programs, from scratch, in target/images (needs root and buildah)
	@tests/images/build.sh

demo-cluster: build ## Makes a cluster with a node on this machine, installs the chart, leaves it to you (needs root)
	@tests/cluster/demo.sh

run-cluster: build cluster ## Leaves a real API server, the operator and two replicas running, for kubectl
	$(CARGO) run --quiet --bin demo-cluster

# Never with --package: the features of what others wrote would be others, and all of it would be built once more.
test: lint cluster ## Everything that must hold
	$(CARGO) build --workspace
	$(CARGO) test --workspace --exclude mailtrail-tests
	$(CARGO) test --bin demo --test it
	$(CARGO) test --test postgres -- --test-threads 4
	# These wait for some of their time: more at a time than there are cores.
	$(CARGO) test --test control_plane --test operator -- --test-threads 6
	$(CARGO) test --test helm
	tests/schemathesis/run.sh

lint: ## Format, lints, what may come in from outside
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	PATH="$$(tests/tools/cargo-tool.sh cargo-deny 0.20.2):$$PATH" cargo-deny --log-level error check bans licenses sources

# 20 minutes on two cores, once per machine; not at all where a cluster or its programs are given. Helm, and for root what a node needs, ten more.
cluster: ## Builds the Kubernetes that tests start
	@[ -n "$(MAILTRAIL_TEST_KUBECONFIG)" ] || tests/cluster/build.sh > /dev/null
	@tests/cluster/build.sh $$([ "$$(id -u)" = 0 ] && echo node || echo helm) > /dev/null

crash: ## Kills the program 200 times under load, cuts the power 50 times, and looks for every answered event
	$(CARGO) build --workspace
	MAILTRAIL_CRASH_ROUNDS=200 MAILTRAIL_POWER_CUTS=50 $(CARGO) test --test it -- --nocapture crash power_cut

rotate: cluster ## Rotates keys every second for a minute while links are made at one replica and followed at the others
	$(CARGO) build --workspace
	MAILTRAIL_ROTATE_SECONDS=60 $(CARGO) test --test operator -- --nocapture no_link_is_refused

fuzz: ## Fuzzes each target for FUZZ_SECONDS (60)
	tests/fuzz/run.sh $(FUZZ_SECONDS)

bench: ## Measures against peers started in the same run
	tests/bench/run.sh

bench-scale: cluster ## Measures an install of 10,000 domains on a real API server (half an hour)
	$(CARGO) build --release --workspace --bins
	MAILTRAIL_PATIENCE_SECONDS=300 $(CARGO) run --release --quiet --bin bench-scale

crds: ## Writes the CRDs' YAML, and the page on their fields, anew from their types
	$(CARGO) run --quiet --bin crdgen crds/yaml docs/FIELDS.md
	awk 'FNR == 1 && NR > 1 {print "---"} {print}' crds/yaml/*.yaml > charts/mailtrail/files/crds.yaml

chart: crds ## Writes the chart's README and its golden files anew
	$(CARGO) build --workspace
	MAILTRAIL_BLESS=1 $(CARGO) test --test helm -- whole

clean-demo: ## Forgets the demo's data
	rm -rf .demo
