PYTHON ?= python3
BIN := .venv/bin
export DO_NOT_TRACK := 1

PYTEST := $(BIN)/pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help run setup check unit test endurance bench

help:
	@echo "make run     set up, then everything: sample data, marts, release, services, Dagster (Ctrl-C stops)"
	@echo "make setup   only install, into .venv"
	@echo "make check   formatting, lint, types (under a minute)"
	@echo "make unit    tests that need no server"
	@echo "make test    all of these, and integration tests (minutes)"
	@echo "make endurance  what takes real time: kills, soaks, a whole day of Dagster"
	@echo "make bench   benchmarks, with machine and versions"

run: setup
	@$(BIN)/pollux up

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Pollux needs Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "$(PYTHON) has no venv module: install it (Debian: python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

check: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/sqlfmt --check --quiet models macros tests/dbt
	$(BIN)/sqlfluff lint --disable-progress-bar models tests/dbt
	$(BIN)/dbt --quiet parse --profiles-dir profiles --target-path target/check --no-partial-parse
	$(BIN)/dbt-bouncer run --config-file dbt-bouncer.yml

unit: setup
	$(PYTEST) -m "not integration and not endurance"

test: check
	$(PYTEST) -m "not endurance"

endurance: setup
	$(PYTEST) -m endurance

bench: setup
	$(BIN)/python -m benchmarks
