# make quickstart: from nothing to a Pareto report. make test: the tests. Both need python3 (3.11 or newer) only.
# make test-site: the tests that also need Chromium, Slurm and PostgreSQL, or start clusters node by node.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable
# once and on every core, so that no worker ever compiles; what is no Python (some packages ship templates) is left out
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

# one process has the tests on Ray, the other one the rest, each file at once; -p no:xdist instead runs them in one
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

.PHONY: quickstart test test-site lint bench install

quickstart: $(BIN)/.installed
	$(BIN)/kdsweep run quickstart

test: $(BIN)/.installed-dev
	$(PYTEST) -m "not site"

test-site: $(BIN)/.installed-dev
	$(PYTEST) -m site

lint: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings --pythonpath $(BIN)/python

bench: $(BIN)/.installed-dev
	$(BIN)/python -m tests.benchmarks

install: $(BIN)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) .
	@$(COMPILE)
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(PIP) '.[dev]'
	@$(COMPILE)
	touch $@
