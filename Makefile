PYTHON ?= python3
BIN := .venv/bin
UV := VIRTUAL_ENV=.venv $(BIN)/uv --quiet
PARSE := $(BIN)/dbt --quiet parse --profiles-dir profiles --target-path target/check --no-partial-parse
CONTRACTS := target/check/manifest.json services/common/contracts.json
export DO_NOT_TRACK := 1
# uv compiles no bytecode: if none is ever written, every start compiles dbt and Dagster anew.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/pytest -q --dist loadfile --no-loadscope-reorder

.PHONY: help run setup spark lock check check-python check-sql check-dbt check-openapi contracts openapi unit test endurance test-spark endurance-spark docs bench image

help:
	@echo "make run     set up, then everything: sample data, marts, release, services, Dagster (Ctrl-C stops)"
	@echo "make setup   only install, into .venv"
	@echo "make spark   install Apache Spark too, the third engine (500 MB; it needs Java 17 or newer)"
	@echo "make lock    write both locks anew from pyproject.toml (versions stay where they can)"
	@echo "make check   formatting, lint, types (under a minute)"
	@echo "make contracts  write what services and models know of each other: the marts' YAML, the rules in Python"
	@echo "make openapi  write the services' OpenAPI documents anew, and say what breaks for clients"
	@echo "make unit    tests that need no server"
	@echo "make test    all of these, and integration tests (minutes)"
	@echo "make endurance  what takes minutes: kills, soaks, a whole day of Dagster, the real files on both engines"
	@echo "make test-spark  the marts on Apache Spark, held equal to DuckDB's (minutes)"
	@echo "make endurance-spark  the same, the real files, every unit test, a cluster, kills of its parts (half an hour or more)"
	@echo "make docs    the documentation as a site, in target/site"
	@echo "make bench   benchmarks, with machine and versions"
	@echo "make image   the platform as an image, by docker, podman or buildah"

run: setup
	@$(BIN)/pollux up

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Pollux needs Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "$(PYTHON) has no venv module: install it (Debian: python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	@# uv is one of the locked packages: pip installs it first, then it installs the others.
	sed -n '/^uv==/,/^    #/p' requirements.lock | $(BIN)/pip install --quiet --require-hashes -r /dev/stdin
	$(UV) pip install --require-hashes --requirement requirements.lock
	$(UV) pip install --no-build-isolation --no-deps --editable .
	@touch $@

spark: .venv/.spark
	@command -v java >/dev/null || echo "Spark needs Java 17 or newer (Debian: openjdk-17-jre-headless)"

.venv/.spark: requirements-spark.lock .venv/.installed
	$(UV) pip install --require-hashes --requirement requirements-spark.lock
	@touch $@

# Renovate runs the command that stands in the lock's first lines, so its options are those it knows.
lock: setup
	$(UV) pip compile --universal --python-version=3.11 --generate-hashes \
		--group=pipeline --group=services --group=dashboard --group=dev --group=docs --output-file=requirements.lock pyproject.toml >/dev/null
	@# Beside the first in one .venv, so what that decides holds here too.
	$(UV) pip compile --universal --python-version=3.11 --generate-hashes \
		--group=spark --constraint=requirements.lock --output-file=requirements-spark.lock pyproject.toml >/dev/null

check: check-python check-sql check-dbt check-openapi

check-python: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

check-sql: setup
	$(BIN)/sqlfmt --check --quiet models macros tests/dbt
	$(BIN)/sqlfluff lint --disable-progress-bar models tests/dbt

check-dbt: setup
	$(PARSE)
	$(BIN)/python -m orchestration.transform.contracts --check $(CONTRACTS)
	$(BIN)/python -m orchestration.transform.rule_cases --check macros/rule_cases.sql
	$(BIN)/dbt-bouncer run --config-file dbt-bouncer.yml

check-openapi: setup
	$(BIN)/python -m services.openapi docs/openapi --check

openapi: setup
	$(BIN)/python -m services.openapi docs/openapi

contracts: setup
	$(PARSE)
	$(BIN)/python -m orchestration.transform.contracts $(CONTRACTS)
	$(BIN)/python -m orchestration.transform.rule_cases macros/rule_cases.sql

unit: setup
	$(PYTEST) --numprocesses 2 -m "not integration and not endurance"

test: setup
	@mkdir -p target
	@# More files at a time than cores, and the checks beside them: most files wait for processes of their own.
	@$(MAKE) --no-print-directory check >target/check.log 2>&1 & checking=$$!; \
	$(PYTEST) --numprocesses 4 -m "not endurance and not spark"; tested=$$?; \
	wait $$checking || { cat target/check.log; echo "make check failed: see above"; exit 1; }; \
	exit $$tested

endurance: setup
	$(PYTEST) --numprocesses 5 -m "endurance and not spark"

# In one process: its server uses both cores.
SPARK_TESTS := tests/models tests/orchestration/test_object_store.py tests/orchestration/test_spark.py

test-spark: setup spark
	$(PYTEST) -m "spark and not endurance" $(SPARK_TESTS)

endurance-spark: setup spark
	$(PYTEST) -m spark $(SPARK_TESTS)

docs: setup
	@$(BIN)/dbt --quiet docs generate --static --empty-catalog --profiles-dir profiles --target-path target/dbt-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "target/site is ready: $(BIN)/python -m http.server --bind 127.0.0.1 --directory target/site"

bench: setup
	$(UV) pip install --group bench
	$(BIN)/python -m benchmarks

# BUILD_OPTIONS are those of the program, such as --build-arg=BASE=…
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER = $(shell docker info >/dev/null 2>&1 && echo docker || command -v podman || command -v buildah)

image:
	@test -n "$(BUILDER)" || { echo "make image needs docker (with its engine running), podman or buildah"; exit 1; }
	@# Podman and Buildah leave out the health check otherwise.
	BUILDAH_FORMAT=docker $(BUILDER) build $(BUILD_OPTIONS) --tag pollux:$(VERSION) --tag pollux:latest \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .
