# Two commands do everything on a machine with Python 3.11 or later and make: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
FUZZ ?= 100000
KILLS ?= 200
ROUNDS ?= 20
SOAK_MINUTES ?= 60
# How often `make soak` breaks what of several daemons on one PostgreSQL.
REPLICAS := MAILBRIDGE_REPLICA_KILLS=300 MAILBRIDGE_SERVER_CRASHES=20 MAILBRIDGE_NETWORK_FAULTS=60 MAILBRIDGE_CLOCK_JUMPS=40 \
	MAILBRIDGE_FAILOVERS=5 MAILBRIDGE_REPLICA_WAITS=10000
# How many processes share the tests, whole files at a time; 0: this one alone.
JOBS ?= 2
COMMIT ?= ee520b1
BEFORE ?= HEAD~1
SUITES ?= $(MAILBRIDGE_SUITES)
# The first of these that is Python 3.11 or later, and can make virtual environments.
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

help: ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

INSTALL_UV := install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.uv:
	@test -n "$(PYTHON)" || { echo "mailbridge needs Python 3.11 or later with venv (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv --without-pip $(VENV)
	@# By the pip that this Python has: installing another one first would be a quarter of the work of `make run`. Not each has one.
	@$(PYTHON) -m pip --python $(BIN)/python $(INSTALL_UV) 2>/dev/null \
		|| { $(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $(INSTALL_UV); }
	@touch $@

# The distribution of 0.1 had another name; both at once would own the same files.
RENAMED := $(BIN)/uv pip uninstall --quiet mailbridge 2>/dev/null || true

$(VENV)/.run: $(VENV)/.uv uv.lock pyproject.toml
	@$(RENAMED)
	@$(BIN)/uv sync --quiet --locked --no-dev --inexact --extra mcp
	@touch $@

$(VENV)/.dev: $(VENV)/.uv uv.lock pyproject.toml
	@$(RENAMED)
	@$(BIN)/uv sync --quiet --locked --inexact
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## the daemon, with a practice receiver while there is no Skyvern key
	@MAILBRIDGE_BANNER=1 MAILBRIDGE_STORE__URL=sqlite:///state/mailbridge.db $(BIN)/mailbridge serve

demo: $(VENV)/.run ## a tour of what it does
	@$(BIN)/mailbridge demo --once

test: $(VENV)/.dev ## every test that needs no system package
	@$(BIN)/python -m pytest -m "not e2e" -n $(JOBS) --dist loadfile

e2e: $(VENV)/.dev ## tests against real peers; installs what they need
	@tests/e2e/install
	@MAILBRIDGE_E2E=1 $(BIN)/python -m pytest -m e2e -n $(JOBS) --dist loadfile

installs: $(VENV)/.dev ## every way of docs/install.md, on every Python of this machine (10 min)
	@MAILBRIDGE_E2E=1 MAILBRIDGE_INSTALLS=all $(BIN)/python -m pytest -s -m e2e tests/e2e/test_install.py

lint: $(VENV)/.dev ## style, types, floors, dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@cd clients/python && ../../$(BIN)/deptry .

bench: $(VENV)/.dev ## speed as a ratio with a bare loop in the same run (15 min; BENCH: --quick, --beside COMMIT, --json FILE)
	@$(BIN)/python -m tests.bench.bench $(BENCH)

bench-check: $(VENV)/.dev ## the same beside BEFORE, a commit: fails where a row is 10 % worse
	@$(BIN)/python -m tests.bench.bench --rounds 7 --seconds 20 --beside $(BEFORE) --check $(BENCH)

scaling: $(VENV)/.dev ## docs/scaling.md: its constants, its picture, and whether its model foretells what is measured (12 min, a quiet machine)
	@$(BIN)/python -m tests.bench.scaling --json docs/scaling.json --plot docs/pictures/scaling.svg $(SCALING)
	@$(BIN)/python -m tests.bench.scaling_page

beside: $(VENV)/.dev ## extraction, memory and start beside another commit in the same run (COMMIT: v0.1.0)
	@$(BIN)/python -m tests.bench.extract_speed --beside $(COMMIT)
	@$(BIN)/python -m tests.bench.memory --beside $(COMMIT)

quality: $(VENV)/.dev ## how many codes come out right, wrong or not at all, and what is pushed where nothing is
	@$(BIN)/python -m tests.extraction.quality --forms 2000

train: $(VENV)/.dev ## whether a fitted model would do better than the weights, over products that it has not seen
	@$(BIN)/uv sync --quiet --locked --inexact --group train
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.extraction.train

fuzz: $(VENV)/.dev ## FUZZ mutations of each kind: SMTP, IMAP, HTTP, mails, signatures, seals, keys, policies, configurations
	@$(BIN)/python -m tests.fuzz.fuzz --count $(FUZZ)

soak: $(VENV)/.dev ## SOAK_MINUTES of mixed load with faults (plots in dist/soak); KILLS kills while webhooks are told; replicas, their server and network broken
	@$(BIN)/python -m tests.soak.hour --minutes $(SOAK_MINUTES)
	@MAILBRIDGE_KILLS=$(KILLS) $(BIN)/python -m pytest -s -o timeout=0 tests/soak
	@MAILBRIDGE_E2E=1 $(REPLICAS) $(BIN)/python -m pytest -s -o timeout=0 tests/e2e/postgres/test_replica_kills.py \
		tests/e2e/postgres/test_replica_network.py tests/e2e/postgres/test_failover.py tests/e2e/postgres/test_replica_waits.py

rolling: $(VENV)/.dev ## ROUNDS releases after each other under load, behind HAProxy on PostgreSQL (needs what `make e2e` installs)
	@MAILBRIDGE_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -s -o timeout=0 tests/e2e/test_rolling_upgrade.py

suites: $(VENV)/.dev ## public suites of SPF, ARC, DKIM, results and suffixes: those in SUITES, a folder, and those that packages carry
	@$(BIN)/python -m tests.suites.run "$(SUITES)" "$$(tests/suites/fetch)"

mutants: $(VENV)/.dev ## small faults in the code, one at a time: each must be noticed by a test (MUTANTS: what, and how)
	@$(BIN)/python -m tests.mutation $(MUTANTS)

sbom: $(VENV)/.uv ## what is in it: a bill of materials (CycloneDX) on standard output
	@$(BIN)/uv export --quiet --locked --no-dev --extra mcp --extra postgres --format cyclonedx1.5

audit: $(VENV)/.dev ## known weaknesses of the locked packages, where advisories can be had
	@$(BIN)/uv export --quiet --locked --no-dev --extra mcp --extra postgres --no-emit-project --format requirements-txt | \
		$(BIN)/python -m tests.audit $(BIN)/uv tool run --quiet pip-audit --disable-pip --require-hashes \
		--progress-spinner off --format json --requirement /dev/stdin

man: $(VENV)/.dev ## the man page and docs/commands.md, from the commands themselves
	@$(BIN)/python -m tests.manual

site: $(VENV)/.dev ## the documentation as a site in dist/site; nothing is asked of the network
	@$(BIN)/python -m tests.site dist

pictures: $(VENV)/.dev ## docs/pictures: every page in a real Chromium, light, dark and on a phone (needs what `make e2e` installs)
	@folder="$$(mktemp -d)" && trap 'rm -rf "$$folder"' EXIT && \
		MAILBRIDGE_E2E=1 MAILBRIDGE_PICTURES="$$folder" $(BIN)/python -m pytest -q -m e2e tests/e2e/test_page.py tests/e2e/test_page_ways.py \
			tests/e2e/test_page_buttons.py::test_what_was_typed_outlives_a_login_that_is_too_old && \
		$(BIN)/python -m tests.e2e.pictures "$$folder"

dist: $(VENV)/.dev ## a wheel and a source archive in dist/, installable by pip, pipx or uv
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist

lock: $(VENV)/.uv ## bring uv.lock up to date
	@$(BIN)/uv lock

clean: ## remove what was built
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.PHONY: help run demo test e2e installs lint bench bench-check scaling beside quality train fuzz soak rolling suites mutants sbom audit man site pictures dist lock clean
