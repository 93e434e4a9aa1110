# What people type: make run (ARGS="--port 8090"), make test, make lint, make bench,
# make screenshots.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench screenshots clean test-system

run: $(VENV)/.run
	@exec $(BIN)/stream-server run --config config.yaml $(ARGS)

test: $(VENV)/.test test-system
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

lint: $(VENV)/.lint $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive detector stream_server
	$(BIN)/python tools/audit_dependencies.py

bench: $(VENV)/.test
	@for name in $$($(BIN)/python -m benchmarks --list); do $(BIN)/python -m benchmarks $$name || exit 1; done

# The pictures of the pages in README.md and docs/.
screenshots: $(VENV)/.test test-system
	$(BIN)/python tools/screenshots.py

clean:
	rm -rf $(VENV) build dist *.egg-info .cache

# Cameras, browser and compiler for the tests, where this user may install them.
test-system:
	@tools/install_test_packages.sh

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,tensorflow]'
	@touch $@ $(VENV)/.run

$(VENV)/.lint: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check '.[lint]'
	@touch $@
