# make demo, make test: the two commands. Each installs all that it needs into .venv first.
PYTHON ?= python3
BIN    := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help venv demo test check lint format types imports drift site bench oldest soak engine mutants fuzz audit lock clean

help:
	@echo "make demo    the crash-recovery demonstration, on a Postgres and a Kafka of its own"
	@echo "make test    all tests, on real servers"
	@echo "make check   lint, types, imports, docs drift, tests: what CI runs"
	@echo "make bench   throughput and cost, as ratios of one run"
	@echo "make soak    what takes longer than a check may: 500 kills, silent links, frozen brokers, weeks of pruning (an hour)"
	@echo "make engine  image, docker-compose.yml, systemd units and the sandbox's containers, on a Docker engine (minutes)"
	@echo "make mutants break each rule in a copy, and see that the tests notice (minutes)"
	@echo "make oldest  tests of frameworks and drivers with the oldest versions that we allow, in an environment of their own"
	@echo "make fuzz    bytes that nobody would write, two minutes for each reader of them"
	@echo "make audit   known holes of what is in requirements.txt; asks the network"
	@echo "make site    the documents as a site, in site/"
	@echo "make format  ruff's formatting and import order"
	@echo "make lock    requirements.txt anew (versions and hashes)"

venv: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv
	$(BIN)/txbox demo crash-recovery

test: venv
	$(BIN)/python -m pytest

check: lint types imports drift test

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: venv
	$(BIN)/mypy

imports: venv
	$(BIN)/lint-imports

drift: venv
	$(BIN)/python -m docs.cli_reference --check
	$(BIN)/python -m docs.configuration_reference --check
	$(BIN)/python -m docs.metrics_page --check
	$(BIN)/python -m deploy.grafana.dashboard --check

site: venv
	$(BIN)/zensical build --clean --strict

bench: venv
	$(BIN)/python -m bench

oldest: .venv/oldest/installed
	.venv/oldest/bin/python -m pytest tests/unit/outbox tests/unit/consumer tests/integration/outbox \
		tests/integration/schema/test_publish.py tests/integration/consumer/test_batch.py \
		$(addprefix tests/integration/consumer/test_,frameworks.py framework_runs.py django.py sqlalchemy.py)

.venv/oldest/installed: tests/oldest.txt pyproject.toml
	$(PYTHON) -m venv .venv/oldest
	.venv/oldest/bin/python -m pip install --quiet --require-hashes --requirement tests/oldest.txt
	.venv/oldest/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

soak: venv
	$(BIN)/python -m pytest tests/soak

engine: venv
	$(BIN)/python -m pytest tests/engine

mutants: venv
	$(BIN)/python -m tests.mutants

FUZZED := config message record row sql

fuzz: venv
	$(BIN)/python -m pip install --quiet --no-deps --target .fuzz atheris==3.0.0
	for target in $(FUZZED); do \
		PYTHONPATH=.fuzz $(BIN)/python -m tests.fuzz $$target -max_total_time=120 -artifact_prefix=.fuzz/ || exit 1; \
	done

# Strict: what could not be looked up counts as a finding, and not as sound.
audit: venv
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.txt

lock: venv
	$(BIN)/uv pip compile pyproject.toml --extra sandbox --group dev --universal --generate-hashes \
		--no-header --no-annotate --quiet --upgrade --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml tests/oldest.in --extra sandbox --extra sqlalchemy --extra django --extra otel \
		--resolution lowest-direct --python-version 3.11 --universal --generate-hashes \
		--no-header --no-annotate --quiet --output-file tests/oldest.txt

clean:
	rm -rf .venv .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
