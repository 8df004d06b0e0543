# Everything works from a fresh clone: each target makes what it needs. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
# pyright's own copy of Node comes from a wheel; it must not ask the network for a newer pyright.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup check test test-deep demo bench requirements clean
.DELETE_ON_ERROR:

help:
	@echo 'make setup         .venv with pinned versions; Debian packages when root'
	@echo 'make check         linters, types, import rules, drift of generated files'
	@echo 'make test          tests, without the slow ones'
	@echo 'make test-deep     the slow ones: real hosts, random kills, long outages'
	@echo 'make demo          a site goes dark; writes demo/report.{html,json,md}'
	@echo 'make bench         figures, side by side with a bare loop; writes bench/'
	@echo 'make requirements  pins again (UPGRADE=1: to newer versions)'
	@echo 'make clean         removes what these targets made'

setup: .venv/ready .venv/debian

.venv/ready: requirements/dev.txt pyproject.toml deploy/setup/venv.sh
	@deploy/setup/venv.sh "$(PYTHON)" .venv requirements/dev.txt
	@touch $@

# Stamped only when every program is there: without root it says what to install and goes on; tests that need it skip and say why.
.venv/debian: deploy/setup/packages.sh deploy/setup/packages.txt | .venv/ready
	@deploy/setup/packages.sh deploy/setup/packages.txt && touch $@ || true

.venv/debian-test: deploy/setup/packages.sh deploy/setup/packages.txt deploy/setup/packages-test.txt | .venv/ready
	@deploy/setup/packages.sh deploy/setup/packages.txt deploy/setup/packages-test.txt && touch $@ || true

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy agent controller deploy proto tests
	$(BIN)/pyright
	$(BIN)/lint-imports
	deploy/setup/drift.sh $(BIN)

test: setup .venv/debian-test
	$(BIN)/pytest -m 'not deep'

test-deep: setup .venv/debian-test
	$(BIN)/pytest -m deep --timeout 1800 -rP

demo: setup
	@$(BIN)/python deploy/demo/run.py

bench: setup
	@PYTHONPATH=tests $(BIN)/python -m bench

requirements:
	requirements/refresh.sh

clean:
	rm -rf .venv demo bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
