# Thin names over tox and lab. All that is needed before `make setup` is a Python >= 3.8, make and a network.
# Plain sh and GNU make 3.81 (macOS): no .ONESHELL, no $(file).

PY     := .venv/bin/python
STAMP  := .venv/.made-from-pyproject
JOBS   ?= 2  # tox environments at a time; tests that measure time dislike a crowd
PYTHON ?= # the interpreter of .venv; default: the newest that works
WINDOWS_PYTHON ?= $(wildcard build/windows/3.13/python.exe) # for Wine; `make windows-python` brings that one

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export WINDOWS_PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup test test-all test-windows windows-python verify merged engine pyz lint types docs clients clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv, with all tools; once, and again when pyproject.toml changes

$(STAMP): pyproject.toml tools/venv.sh
	@sh tools/venv.sh .venv $(PYTHON)
	@touch $@

verify: setup ## the main job: real bytes on every backend, every probe on every Python and image
	@images=$$($(PY) -m tools.daemon status >/dev/null 2>&1 && echo "--matrix images"); \
		.venv/bin/lab verify $(or $(ARGS),--serve --target python:all $$images --out build/records); code=$$?; \
		[ -n "$$images$(ARGS)" ] || echo "not run: images, for no container engine answers; \`make engine\` brings one"; \
		exit $$code

# Four at a time, on any machine: most of them wait for something.
test: setup ## the quick tests, in this interpreter, offline: under a minute (ARGS="-k echo")
	@$(PY) -m pytest -m "not slow" -q -n 4 $(ARGS)

test-all: setup clients ## all tests, interpreters, images; ENGINE=require|none, ARGS="tox" for a part
	@PATH="$$($(PY) -m lab.interpreters):$$PATH" UV_PYTHON_DOWNLOADS=never JOBS=$(JOBS) \
		$(PY) -m tools.test_all $(ARGS)

merged: setup ## one table of records from many machines: RECORDS=build/records OUT=build/merged
	@sh tools/merged.sh $(PY) $(or $(RECORDS),build/records) $(or $(OUT),build/merged)

test-windows: setup ## portable tests and catalogue under Wine; WINDOWS_PYTHON=PATH/python.exe
	@$(PY) -m tools.windows "$(strip $(WINDOWS_PYTHON))" $(ARGS)
	@.venv/bin/lab verify --target "wine:$(strip $(WINDOWS_PYTHON))" --out build/records/wine

windows-python: setup ## build/windows/3.13/python.exe, for test-windows; VERSION=3.8 for another
	@$(PY) -m tools.windows_python $(VERSION)

engine: setup ## a container engine: used if one answers, else installed (root, Debian) and started
	@$(PY) -m tools.daemon start

pyz: setup ## dist/lab.pyz, the portable part in one file
	@$(PY) -m lab.harness.pyz

lint: setup ## ruff; actionlint and the schema of workflows, for .github/workflows/
	@$(PY) -m tox run -q -e lint

types: setup ## mypy, for three platforms
	@$(PY) -m tox run -q -e types

docs: setup ## write docs/cli.md and docs/catalogue.md out of the program
	@$(PY) -m tools.pages

clients: # what test-all drives the servers with, besides our own
	@sh tools/clients.sh

clean: ## remove all that was made, .venv too
	rm -rf .venv .tox build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find lab tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
