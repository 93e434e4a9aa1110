# What people type: make run (ARGS="--port 8090"), make test, make test-fast, make coverage, make soak,
# make lint, make bench, make screenshots.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make run` reads, and what the page writes cameras into; git ignores it.
CONFIG := config.local.yaml
# Not quiet: on a slow line pip's bars are all that moves for minutes.
INSTALL := $(BIN)/pip install --disable-pip-version-check --editable

# Programs of others that the tests run against ours, each in an environment of its own.
FOREIGN := .cache/foreign

.PHONY: run test test-fast coverage soak lint bench screenshots clean test-system test-foreign

run: $(VENV)/.run | $(CONFIG)
	@exec $(BIN)/stream-server run --config $(CONFIG) $(ARGS)

test: $(VENV)/.test test-system test-foreign
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --durations=15

# What starts no server, browser, TensorFlow or other program; the others skip (tests/support/fast.py).
FAST := FAST=true $(BIN)/python -m pytest --numprocesses=3 --dist=loadfile -rfE -m "not soak and not slow"

test-fast: $(VENV)/.test
	$(FAST)

# Fails below what pyproject.toml has as fail_under.
coverage: $(VENV)/.test
	$(FAST) --cov --cov-report=term

# All that is marked so: the counts that are too many for every run, and an hour of changes; SOAK_MINUTES=10 for
# less, SOAK_LOG=file for what is held every five seconds.
soak: $(VENV)/.test test-system
	$(BIN)/python -m pytest -m soak --durations=0

lint: $(VENV)/.lint $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive detector stream_server
	tools/js/lint.sh
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

test-foreign: $(FOREIGN)/clients/.installed $(FOREIGN)/octoprint/.installed $(FOREIGN)/node/.installed

$(FOREIGN)/%/.installed: tests/foreign/%.txt
	@echo "Installing what $< names into $(@D), for the tests."
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/pip install --disable-pip-version-check --requirement $< \
		&& touch $@ || echo "Not installed; some tests skip without it."

$(FOREIGN)/node/.installed: tests/foreign/package.json tests/foreign/package-lock.json | test-system
	@echo "Installing what $< names into $(@D), for the tests."
	@mkdir -p $(@D) && cp $^ $(@D) && npm --prefix $(@D) ci --no-audit --no-fund \
		&& touch $@ || echo "Not installed; some tests skip without it."

$(CONFIG):
	@cp config.yaml $@
	@echo "Your settings: $@, made from config.yaml."

# pip comes last into an environment, so one without it is not whole.
$(BIN)/pip:
	@echo "Making a Python environment in $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/pip
	@echo "Installing stream-server and what it needs into $(VENV): about 180 MB to download, once."
	@$(INSTALL) .
	@echo "Installed. The command is $(BIN)/stream-server; after '. $(BIN)/activate' it is stream-server."
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(BIN)/pip
	@echo "Installing what the tests need into $(VENV), TensorFlow among it: most of a gigabyte to download, once."
	@$(INSTALL) '.[test,tensorflow]'
	@touch $@ $(VENV)/.run

# Editable as well: a copy of the product beside it would be what is tested from then on.
$(VENV)/.lint: setup.cfg pyproject.toml | $(BIN)/pip
	@$(INSTALL) '.[lint]'
	@touch $@
