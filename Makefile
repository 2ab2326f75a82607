# Nothing else is needed to work here. On a fresh machine `make demo` and `make test` do all the set-up.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.setup

.PHONY: setup demo test check proto format requirements bench drill up clean

setup: $(SETUP)

# Installed from pinned, hashed requirements; the four distributions of the workspace are installed in place.
$(SETUP): requirements/dev.txt client/pyproject.toml services/orchestrator/pyproject.toml services/runner/pyproject.toml experiments/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Athanor needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e client -e services/orchestrator -e services/runner -e experiments
	@touch $@

test: setup
	$(BIN)/python -m pytest

proto: setup
	$(BIN)/python tools/generate.py

requirements: setup
	cd requirements && for name in runtime dev; do $(abspath $(BIN))/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header $$name.in -o $$name.txt || exit 1; done

clean:
	rm -rf .venv .athanor
