# Everything a contributor types. `make help` lists it. Needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More workers than cores: half of the tests wait for other processes.
WORKERS ?= 4
# Which tests `make test` runs, in pytest's words; nothing for all. What `make check` leaves out: SELECT="-m e2e".
SELECT ?=
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder
# Kept bytecode, whatever the machine's habit: the tests start hundreds of processes of the same modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo play test test-quick check fix bench record screenshots clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(STAMP) ## Install what the others need into .venv, which they do by themselves

demo: $(STAMP) ## The whole story in the terminal, by itself, in under a minute
	@$(BIN)/python -m sandbox.demo

play: $(STAMP) ## The same stage, left open for clicking in a browser
	@$(BIN)/python -m sandbox.demo --play

test: $(STAMP) ## All tests; what this machine lacks is skipped and says how to get it. Fewer: SELECT="-m e2e"
	$(PYTEST) $(SELECT)

test-quick: $(STAMP) ## The tests that start no processes
	$(PYTEST) -m "not e2e"

check: $(STAMP) ## Linters, types, import rules, and the tests that start no processes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not e2e"

fix: $(STAMP) ## Let the linter and the formatter mend what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Print the figures: calls, times, memory
	$(BIN)/python -m bench

record: $(STAMP) ## Record answers anew: Request Tracker's; or of your own PSA: PSA=halo CONFIG=connector.yaml TICKET=42
	$(BIN)/python $(if $(PSA),scripts/record_psa.py --config "$(CONFIG)" --psa "$(PSA)" --ticket "$(TICKET)",scripts/record_requesttracker.py)

screenshots: $(STAMP) ## Make the pictures of docs/img anew (needs Chromium)
	$(BIN)/python scripts/screenshots_links.py
	$(BIN)/python scripts/screenshots_mails.py
	$(BIN)/python scripts/screenshot_demo.py

clean: ## Remove what was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
