SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test test-slow test-crash test-lowest lint types wheel-test docs api-docs base-model clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## create .venv with everything in constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@echo 'Installing into $(VENV) (a few minutes the first time) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## correct a language model with a few hundred facts, and look at the result
	@$(BIN)/python examples/demo.py

test: $(INSTALLED) ## run the tests, the slow ones and the full crash counts left out
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not slow and not crash'

test-slow: $(INSTALLED) ## run the slow tests only
	@$(BIN)/python -m pytest -q -m 'slow and not crash'

test-crash: $(INSTALLED) ## run crashes, damage and fuzz in full, and print the counts (goes on where it was cut off)
	@PYTHONPATH=tests $(BIN)/python -m pytest -q -m crash -o timeout=7200 -p ledger --ledger .crash.jsonl --no-header tests

test-lowest: ## run the policies, the log and the models' tests with the lowest versions that pyproject.toml allows
	@$(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install -qq --disable-pip-version-check -r constraints-lowest.txt
	@PYTHONPATH=. .venv-lowest/bin/python -m pytest -q -m 'not slow and not crash' tests/policies tests/readers \
	  tests/editlog/test_merkle.py tests/editlog/test_events.py tests/editlog/test_ingest.py tests/editlog/test_history.py \
	  tests/editlog/test_tamper.py tests/editlog/test_export.py tests/editlog/test_query_views.py \
	  tests/model tests/experts tests/export tests/job/test_job.py tests/cli/test_journey.py

lint: $(INSTALLED) ## check style with ruff
	@$(BIN)/ruff check .

types: $(INSTALLED) ## check types with mypy
	@$(BIN)/mypy

wheel-test: ## build the wheel, install it in a bare environment elsewhere and run the main job there
	@PYTHON='$(PYTHON)' scripts/wheel_test.sh

docs: $(INSTALLED) ## write docs/CLI.md, docs/bench.schema.json and the answers of docs/QUERIES.md again
	@$(BIN)/python scripts/cli_reference.py docs/CLI.md
	@$(BIN)/python scripts/query_reference.py docs/QUERIES.md
	@$(BIN)/python scripts/bench_schema.py docs/bench.schema.json

api-docs: $(INSTALLED) ## write the Python API's reference to build/api-docs, from the docstrings
	@$(BIN)/python scripts/api_docs.py build/api-docs

base-model: $(INSTALLED) ## pretrain the embedded base model again (resumable)
	@$(BIN)/python -m pretraining

clean: ## remove what the other targets made, .venv included
	@rm -rf $(VENV) .venv-lowest .crash.jsonl demo-workspace build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
