# make demo | test | lint: each sets up .venv first, where it is missing or older than pyproject.toml
PYTHON ?= python3
PYTEST ?= -n auto --dist loadfile
BIN := .venv/bin

.PHONY: demo test lint

demo: .venv/ready
	$(BIN)/python -m keyposs.train experiment=demo

test: .venv/ready
	$(BIN)/python -m pytest $(PYTEST)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off -e ".[dev]"
	touch $@
