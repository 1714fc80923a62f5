# The commands of the house. Everything lands in .venv and .cache; nothing outside the checkout is touched.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=
BENCH_ARGS ?=
DEMO_ARGS ?=
BUILT_FROM := pyproject.toml hatch_build.py $(wildcard generator/dovestorm/kernel/*.pyx)

.PHONY: help demo test bench lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## a working day into a consumer over loopback TCP, for about ten seconds
	@$(PY) -m dovestorm demo $(DEMO_ARGS)

test: .venv/.installed-dev ## all tests
	@$(PY) -m pytest $(PYTEST_ARGS)

bench: .venv/.installed-dev ## measure, beside its peers, into bench-DATE.json (BENCH_ARGS=--quick for a short one)
	@scripts/fetch-syslog-ng || true
	scripts/fetch-logsynth || true
	$(PY) tests/bench/run.py $(BENCH_ARGS)

lint: .venv/.installed-dev ## what ruff and mypy have to say
	@$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean: ## remove what the other commands made
	@rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f generator/dovestorm/kernel/*.so generator/dovestorm/kernel/*.c

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=/path/to/a/newer/python")'
	echo "making .venv" >&2
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python $(BUILT_FROM)
	@echo "installing dovestorm into .venv (compiles the kernel, a minute or so)" >&2
	$(PIP) install --editable .
	touch $@

.venv/.installed-dev: .venv/bin/python $(BUILT_FROM)
	@echo "installing dovestorm and its development tools into .venv" >&2
	$(PIP) install --editable '.[dev]'
	touch .venv/.installed $@
