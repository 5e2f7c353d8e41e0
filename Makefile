# One door to everything; `make help` lists it. What a target needs, it installs (tools/bootstrap).
STACK ?= lab
PYTHON ?= python3
BIN := .venv/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/postgres-barman
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
# Tests by area and depth, the markers of pyproject.toml: AREA="backup or recovery" DEPTH=core
CHOSEN = $(if $(AREA)$(DEPTH),-m "$(if $(AREA),($(AREA)))$(if $(AREA),$(if $(DEPTH), and ))$(DEPTH)")
export PYTHON
.DEFAULT_GOAL := help

.PHONY: help up down shell plan test test-unit test-lab test-faults lint format lock docs bench clean-cache venv for-unit for-lint for-lab for-browser

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "STACK=name picks another lab (default: lab)."

up: for-lab ## stand up the whole stack on this machine, or bring it up to date
	@$(BIN)/python -m lab up --stack $(STACK)

down: venv ## remove it; asks first (YES_DELETE_DATA=1 answers)
	@$(BIN)/python -m lab down --stack $(STACK) $(if $(YES_DELETE_DATA),--yes-delete-data)

shell: venv ## a shell in which pulumi works on the lab
	@$(BIN)/python -m lab shell --stack $(STACK)

# stdout is the plan alone, whatever has to be installed first
plan: venv ## the plan of a stack as JSON on stdout, offline (STACK=dev: Azure)
	@$(BIN)/python -m lab plan $(STACK)

test: for-lab for-browser lint ## lint, unit tests, the end-to-end tests and faults that are not marked deep
	@tools/test_core

test-unit: for-unit ## the tests that need neither root nor a lab
	@$(BIN)/python -m pytest tests/unit

test-lab: for-lab for-browser ## the end-to-end tests alone (IMAGE=debian-testing, AREA=recovery)
	@$(BIN)/python -m pytest $(CHOSEN) $(or $(TESTS),tests/lab) $(if $(IMAGE),--image $(IMAGE))

test-faults: for-lab ## the whole fault matrix; make docs writes its page then (AREA=recovery: part)
	@$(BIN)/python -m pytest $(CHOSEN) tests/faults

lint: for-lint ## ruff, pyright, shellcheck, codespell
	@tools/programs python -z | xargs -0 $(BIN)/ruff check --quiet .
	@tools/programs python -z | xargs -0 $(BIN)/ruff format --quiet --check .
	@tools/programs python -z | xargs -0 $(BIN)/pyright --pythonpath $(BIN)/python . >.pyright.log || \
		{ cat .pyright.log; rm .pyright.log; exit 1; }; rm .pyright.log
	@tools/programs shell -z | xargs -0 --no-run-if-empty shellcheck
	@git ls-files -z --cached --others --exclude-standard | xargs -0 $(BIN)/codespell
	@echo "lint: ruff, pyright, shellcheck and codespell have nothing to say"

format: venv ## rewrite the sources in the house layout
	@tools/programs python -z | xargs -0 $(BIN)/ruff check --quiet --fix .
	@tools/programs python -z | xargs -0 $(BIN)/ruff format --quiet .

# uv keeps the versions that the lock has, unless UPGRADE=1 or a pin asks for another.
lock: venv ## write requirements.lock again from requirements*.txt (UPGRADE=1: newest versions)
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file requirements.lock requirements-dev.txt

docs: for-lint ## draw and write again what is made from other files: pictures, tables, JSON
	@dot -Tsvg docs/architecture.dot -o docs/architecture.svg
	@$(BIN)/python -m tools.settings_table
	@$(BIN)/python -m tools.grafana_dashboard
	@$(BIN)/python -m tools.ops_json >docs/ops-json.md
	@$(BIN)/python -m tools.scale_page >docs/scale.md
	@$(BIN)/python -m tools.faults_page
	@$(BIN)/python -m bench.peers.page

# MEGABYTES of data (1000) and MINUTES of the run (55) are those of the peers.
bench: for-lab ## measurements (PEERS=1: beside pgBackRest and others; make docs writes its page then)
	@$(BIN)/python -m bench$(if $(PEERS),.peers $(if $(MEGABYTES),--megabytes $(MEGABYTES)) $(if $(MINUTES),--minutes $(MINUTES)))

clean-cache: ## remove the cached engine and machine images
	@if grep -qsF "$(CACHE)/" /proc/[0-9]*/mountinfo; then \
		echo "A lab runs from this cache. Nothing was removed. Type: make down" >&2; exit 3; fi
	@chmod -R u+w "$(CACHE)" 2>/dev/null || true; rm -rf "$(CACHE)"

venv:
	@tools/bootstrap venv

for-unit:
	@tools/bootstrap unit

for-lint:
	@tools/bootstrap lint

for-lab:
	@tools/bootstrap lab

for-browser:
	@tools/bootstrap browser
