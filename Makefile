# Nothing else is needed to work here. On a fresh machine `make demo` and `make test` do all the set-up.

# Any Python from 3.11 on; choose another with `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

BIN := .venv/bin
SETUP := .venv/.setup
PROJECTS := client services/orchestrator services/runner experiments
TESTS ?= tests
# Processes that share the tests; each has a PostgreSQL of its own. One more than there are processors here: many tests wait.
WORKERS ?= 3
IMAGE := proto/image.binpb

# pyright is installed whole; it need not ask anybody whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo up test simulate bench check format sync proto proto-image requirements docs pictures clean

help: ## Show this help
	@echo "Athanor. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Make .venv with everything in it (the other targets do this by themselves)

# Installed from pinned, hashed requirements; the four distributions of the workspace are installed in place.
$(SETUP): requirements/dev.txt $(PROJECTS:%=%/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "Athanor needs Python 3.11 or newer; try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PROJECTS:%=-e %)
	@touch $@
	@echo 'done. In each terminal: source .venv/bin/activate'

demo: setup ## Start the system, run `digits` on real data, print its results, stop
	@$(BIN)/python tools/demo.py

up: setup ## Run orchestrator and runner on this machine until Ctrl-C
	@$(BIN)/athanor up

test: setup ## Run all tests, PostgreSQL included (TESTS=tests/unit for a part, WORKERS=0 in one process)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

SEEDS ?= 2000
simulate: setup ## Run other simulated worlds than the tests do (SEEDS=20000 for more)
	ATHANOR_FIRST_SEED=$$(date +%s)0000 ATHANOR_SEEDS=$(SEEDS) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/simulation/test_seeds.py

BENCH ?=
bench: setup ## Measure Athanor beside the limits of this machine (BENCH="launch --rounds 5" for a part, BENCH=--help for more)
	@$(BIN)/python -m benchmarks $(BENCH)

check: setup ## Check format, lint, types, the contract, generated code and pinned requirements
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/pyright
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against $(IMAGE)
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/derive_sync.py --check
	$(BIN)/python tools/check_files.py

docs: setup ## Build the site of the documentation into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

pictures: setup ## Take the pictures of the documentation anew, of the tools at work
	$(BIN)/python -m tools.pictures

format: setup ## Format Python and proto files
	$(BIN)/ruff check --fix --select I
	$(BIN)/ruff format
	$(BIN)/buf format --write

sync: setup ## Derive the blocking client from the asynchronous one
	$(BIN)/python tools/derive_sync.py

proto: setup ## Generate the Python stubs of proto/ into client/athanor
	$(BIN)/python tools/generate.py

proto-image: setup ## Renew the image that `make check` compares the contract with: on purpose, at a release
	$(BIN)/buf build --exclude-source-info -o $(IMAGE)

requirements: setup ## Compile requirements/*.in to the newest versions, with hashes
	cd requirements && for name in runtime build dev; do $(abspath $(BIN))/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header $$name.in -o $$name.txt || exit 1; done

clean: ## Remove .venv and everything that tools left behind
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .athanor build
