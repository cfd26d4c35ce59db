# What can be done here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := analysis worker scripts tests
DATA ?= ../shared/data/so762-train
PYTEST_ARGS ?=

# Compiled caches that serve on any CPU model, where they are made and where they are used.
export NUMBA_CPU_NAME := generic
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	@echo "Making $(VENV) (about 1.3 GB; a few minutes the first time) …"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m analysis warmup
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make the virtual environment

.PHONY: demo
demo: $(INSTALLED) ## Run a dozen jobs through queue, worker and webhook on this machine (KEEP=1 leaves it running)
	@$(BIN)/python scripts/demo.py $(if $(KEEP),--keep)

.PHONY: test
test: $(INSTALLED) ## Run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)

.PHONY: format
format: $(INSTALLED) ## Put the code into its form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: check
check: lint test ## Check style and types, and run every test

.PHONY: fixtures
fixtures: $(INSTALLED) ## Speak the test recordings again
	$(BIN)/python scripts/make_fixtures.py

.PHONY: requirements
requirements: $(INSTALLED) ## Compile the hashed requirements from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra report --extra otel -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra dev --extra report --extra otel -o requirements-dev.txt

.PHONY: clean
clean: ## Remove what can be made again
	rm -rf $(VENV) .venv-* scripts/bench/rivals/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- servers for load and faults, each in an environment of its own

.PHONY: servers
servers: .venv-localstack/.installed .venv-ministack/.installed ## Install the SQS servers for load and faults

.venv-localstack/.installed: scripts/servers/localstack.txt
	$(PYTHON) -m venv .venv-localstack
	.venv-localstack/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

.venv-ministack/.installed: scripts/servers/ministack.txt
	$(PYTHON) -m venv .venv-ministack
	.venv-ministack/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

.PHONY: test-servers
test-servers: $(INSTALLED) servers ## Run the queue's tests against moto, LocalStack and ministack
	$(BIN)/python -m scripts.test_servers

.PHONY: chaos
chaos: $(INSTALLED) .venv-localstack/.installed ## Kill, cut and delay a small fleet, and count what became of each job
	$(BIN)/python -m scripts.chaos $(CHAOS_ARGS)

.PHONY: soak
soak: $(INSTALLED) .venv-localstack/.installed ## Send 20,000 empty jobs through one worker and see whether it stays flat
	$(BIN)/python -m scripts.soak $(SOAK_ARGS)

.PHONY: bench
bench: $(INSTALLED) servers rivals ## Measure cost, start, load and memory on this machine, into docs/benchmarks.md
	@$(BIN)/python -m scripts.bench $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: $(INSTALLED) .venv-localstack/.installed ## Measure a few ratios shortly, and print what moved since they were recorded
	@$(BIN)/python -m scripts.bench --quick $(BENCH_ARGS)

# --- what the fleet is compared with, in environments of its own

.PHONY: rivals
rivals: .venv-rivals/.installed ## Install what `make bench` compares the fleet with (needs npm for a part)

.venv-rivals/.installed: scripts/bench/rivals/requirements.txt scripts/bench/rivals/package-lock.json
	$(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet --require-hashes -r $<
	if command -v npm; then npm ci --prefix scripts/bench/rivals --no-audit --no-fund --ignore-scripts; fi
	@touch $@

# --- infra, image, supply chain

.PHONY: infra
infra: $(INSTALLED) ## Check infra/: format, validity, tests, plans, READMEs (needs terraform)
	$(BIN)/python scripts/check_infra.py

.PHONY: image
image: ## Build the image with Docker, and check that it works
	scripts/build_image.sh

.PHONY: image-check
image-check: ## Build the Dockerfile for real where there is no Docker (Debian's buildah and mmdebstrap)
	scripts/build_image_without_docker.sh

.PHONY: audit
audit: $(INSTALLED) ## Look the locked dependencies up in the advisory database
	$(BIN)/python scripts/audit.py

.PHONY: sbom
sbom: $(INSTALLED) ## Write the bill of materials (CycloneDX) to sbom.json
	$(BIN)/python scripts/make_sbom.py sbom.json

# --- the scorer

.PHONY: train
train: .venv-train/.installed ## Train and fit the scorer from labelled speech (DATA=…)
	.venv-train/bin/python scripts/train_scorer.py --data $(DATA)
	.venv-train/bin/python scripts/calibrate.py --data $(DATA)

.venv-train/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet -r requirements-dev.txt
	.venv-train/bin/python -m pip install --quiet --no-build-isolation -e '.[train]'
	@touch $@

.PHONY: evaluate
evaluate: $(INSTALLED) ## Compare the scores with experts' on labelled speech (DATA=…)
	$(BIN)/python scripts/evaluate.py $(DATA)
