# make quickstart: from nothing to a Pareto report. make test: everything CI runs. Both need python3 (3.11 or newer) only.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint bench install

quickstart: $(BIN)/.installed
	$(BIN)/kdsweep run quickstart

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest

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
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@
