# Short names for commands of tox and lab. Before `make setup` you need Python >= 3.8, make and a network.
# This file works with plain sh and GNU make 3.81 (macOS), so it uses neither .ONESHELL nor $(file).

PY     := .venv/bin/python
STAMP  := .venv/.made-from-pyproject
JOBS   ?= 2  # tox environments at a time; more of them disturb tests that measure time
PYTHON ?= # the interpreter for .venv; default: the newest one that works
WINDOWS_PYTHON ?= $(wildcard build/windows/3.13/python.exe) # for Wine; `make windows-python` downloads this one

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export WINDOWS_PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup test test-all test-windows windows-python verify merged engine pyz lint types docs clients clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## create .venv with all tools; again when pyproject.toml changes

$(STAMP): pyproject.toml tools/venv.sh
	@sh tools/venv.sh .venv $(PYTHON)
	@touch $@

verify: setup ## the main job: real bytes on every backend, every probe on every Python and image
	@images=$$($(PY) -m tools.daemon status >/dev/null 2>&1 && echo "--matrix images"); \
		.venv/bin/lab verify $(or $(ARGS),--serve --target python:all $$images --out build/records); code=$$?; \
		[ -n "$$images$(ARGS)" ] || echo "not run: images, because no container engine answers; \`make engine\` installs one"; \
		exit $$code

# Four tests at a time on any machine, because most of them wait for something.
test: setup ## run the quick tests in this interpreter: under a minute, offline (ARGS="-k echo")
	@$(PY) -m pytest -m "not slow" -q -n 4 $(ARGS)

test-all: setup clients ## run all tests, interpreters, images; ENGINE=require|none, ARGS="tox" for a part
	@PATH="$$($(PY) -m lab.interpreters):$$PATH" UV_PYTHON_DOWNLOADS=never JOBS=$(JOBS) \
		$(PY) -m tools.test_all $(ARGS)

merged: setup ## one table of the records of many machines: RECORDS=build/records OUT=build/merged
	@sh tools/merged.sh $(PY) $(or $(RECORDS),build/records) $(or $(OUT),build/merged)

test-windows: setup ## run portable tests and catalogue under Wine; WINDOWS_PYTHON=PATH/python.exe
	@$(PY) -m tools.windows "$(strip $(WINDOWS_PYTHON))" $(ARGS)
	@.venv/bin/lab verify --target "wine:$(strip $(WINDOWS_PYTHON))" --out build/records/wine

windows-python: setup ## download build/windows/3.13/python.exe for test-windows; VERSION=3.8
	@$(PY) -m tools.windows_python $(VERSION)

engine: setup ## use the container engine that answers, or install (root, Debian) and start one
	@$(PY) -m tools.daemon start

pyz: setup ## build dist/lab.pyz, the portable part in one file
	@$(PY) -m lab.harness.pyz

lint: setup ## run ruff, and check .github/workflows/ with actionlint and the workflow schema
	@$(PY) -m tox run -q -e lint

types: setup ## run mypy for three platforms
	@$(PY) -m tox run -q -e types

docs: setup ## write docs/cli.md and docs/catalogue.md from the program
	@$(PY) -m tools.pages

clients: # install other people's clients, which test-all runs against our servers
	@sh tools/clients.sh

clean: ## remove everything that was built, .venv too
	rm -rf .venv .tox build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find lab tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
