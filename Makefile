# Everything sets itself up: `make demo` and `make test` work on a machine with Python and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export OMP_WAIT_POLICY ?= passive

.PHONY: setup demo test fuzz lint bench bench-gpu docs clean

setup: .venv/installed

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

# torch first and alone: asked for by a dependency, its build would be the index's choice.
.venv/installed: .venv/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	touch $@

.venv/documented: .venv/installed
	$(PIP) --editable '.[docs]'
	touch $@

demo: setup
	$(BIN)/lossatlas fit --overwrite

# Processes begin with a row of files each, so that tests share what they train; who is done takes half of what another
# has left. A process takes more than a gigabyte.
test: setup
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

# Hostile inputs, for an hour on two cores: make fuzz SECONDS=60 WORKERS=1 SEED=3 ONLY=formats/png. What fails is kept in
# .fuzz, and tried again by make fuzz CASE=.fuzz/NAME.
fuzz: SECONDS ?= 3600
fuzz: WORKERS ?= 2
fuzz: setup
	PYTHONPATH=tests $(BIN)/python -m fuzzing --seconds=$(SECONDS) --workers=$(WORKERS) --seed='$(SEED)' --only='$(ONLY)' \
		$(if $(CASE),--case='$(CASE)')

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/engine.py

bench-gpu: setup
	$(BIN)/python benchmarks/gpu.py

docs: .venv/documented
	$(BIN)/sphinx-build --quiet --fail-on-warning docs docs/_build

clean:
	rm -rf .venv docs/_build
