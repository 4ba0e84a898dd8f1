# `make help` lists the targets. PYTHON names the interpreter to build the virtual environment with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --constraint constraints.txt --build-constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help up down test test-slow lint bench prove-main-job prove-tenancy prove-voice prove-router

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

up: $(VENV)/.installed ## install, fetch the models, start everything, show that it answers
	@$(BIN)/voicehelper up

down: ## stop everything, keep the data
	@if [ -x $(BIN)/voicehelper ]; then $(BIN)/voicehelper down; else echo "Not installed"; fi

test: $(VENV)/.installed-dev ## the fast tests: unit, integration on the embedded engines, end to end
	@# Side by side, for most of the time either of them waits. Each has engines of its own.
	@log=$$(mktemp); \
	$(BIN)/python -m pytest -m "not slow" tests/unit tests/e2e > $$log 2>&1 & beside=$$!; \
	trap 'kill $$beside' INT TERM; \
	$(BIN)/python -m pytest -m "not slow" tests/integration; status=$$?; \
	wait $$beside || status=$$?; \
	cat $$log; rm -f $$log; exit $$status

test-slow: $(VENV)/.installed-dev ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev ## ruff, mypy --strict, import-linter, licences, catalogues of errors and events
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python tools/third_party_licences.py --check
	$(BIN)/python -m tools.error_catalogue --check
	$(BIN)/python -m tools.event_catalogue --check

bench: $(VENV)/.installed-dev ## measure; results go to benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

prove-main-job: $(VENV)/.installed-dev ## the main job with real processes, one line a point
	$(BIN)/python -m tests.prove.main_job

prove-tenancy: $(VENV)/.installed-dev ## isolation, contract, retries and outages with real processes, one line a point
	$(BIN)/python -m tests.prove.tenancy

prove-voice: $(VENV)/.installed-dev ## calls in a browser, through kills and updates, by OpenAI's client; one line a point
	$(BIN)/python -m tests.prove.voice

prove-router: $(VENV)/.installed-dev ## models, breakers, budgets, experiments, OpenAI's client, with real processes; one line a point
	$(BIN)/python -m tests.prove.router

# The stamps are written last, so an interrupted install is simply done again.
$(VENV)/.pip: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; install its venv package (Debian, Ubuntu: python3-venv)"; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade --constraint constraints.txt pip
	@touch $@

$(VENV)/.installed: $(VENV)/.pip pyproject.toml constraints.txt
	@echo "Installing (a few minutes the first time)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what development needs"
	@$(INSTALL) --editable '.[dev]'
	@touch $@
