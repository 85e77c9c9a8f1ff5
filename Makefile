# What a developer and CI call. Everything runs in .venv, which the first target makes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: test slow lint format docs wheel bench clean

.venv/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

test: .venv/.dev  ## the fast tests
	$(BIN)/python -m pytest

slow: .venv/.dev  ## what takes minutes, and real kills of real processes
	$(BIN)/python -m pytest -m 'slow or faults'

lint: .venv/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev  ## docs/measures.md, from what the ops declare
	$(BIN)/python docs/generate.py

wheel: .venv/.dev  ## dist/audiocur-*.whl
	$(BIN)/python -m build --wheel

bench: .venv/.dev  ## CPU-seconds an hour of audio, by op; needs AUDIO=folder
	$(BIN)/python benchmarks/ops.py $(AUDIO)

clean:
	rm -rf .venv dist build runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
