# make demo, make test: the two commands. Each installs all that it needs into .venv first.
PYTHON ?= python3
BIN    := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help venv demo test check lint format types imports drift site bench soak engine mutants lock clean

help:
	@echo "make demo    the crash-recovery demonstration, on a Postgres and a Kafka of its own"
	@echo "make test    all tests, on real servers"
	@echo "make check   lint, types, imports, docs drift, tests: what CI runs"
	@echo "make bench   throughput and cost, as ratios of one run"
	@echo "make soak    what takes longer than a check may: 500 kills, silent links, frozen brokers, weeks of pruning (an hour)"
	@echo "make engine  image, docker-compose.yml, systemd units and the sandbox's containers, on a Docker engine (minutes)"
	@echo "make mutants break each rule in a copy, and see that the tests notice (minutes)"
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

soak: venv
	$(BIN)/python -m pytest tests/soak

engine: venv
	$(BIN)/python -m pytest tests/engine

mutants: venv
	$(BIN)/python -m tests.mutants

lock: venv
	$(BIN)/uv pip compile pyproject.toml --extra sandbox --group dev --universal --generate-hashes \
		--no-header --no-annotate --quiet --upgrade --output-file requirements.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
