# Everything sets itself up: `make demo` and `make test` work on a machine with Python and make. What running needs is
# installed first, what developing and documenting need only when it is asked for.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export OMP_WAIT_POLICY ?= passive

.PHONY: setup demo test fuzz lint bench bench-gpu docs clean

setup: .venv/installed

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

# torch is installed first and alone: if a dependency asked for it, its build would be the index's choice.
# Nothing is compiled beforehand: that takes longer than the rest, and Python compiles what it imports.
.venv/installed: .venv/python pyproject.toml constraints.txt
	$(PIP) --no-compile torch
	$(PIP) --no-compile --editable '.[explore]'
	touch $@

# Tests start Python hundreds of times, so here everything is compiled, on all cores; some packages ship files that are
# not valid Python. What tests compile is kept, too, even where the environment forbids Python to write it.
.venv/developed: .venv/installed tests/oracles.txt
	$(PIP) --no-compile --editable '.[dev]'
	$(PIP) --no-compile --no-deps --requirement tests/oracles.txt
	-$(BIN)/python -m compileall -qq -j 0 .venv/lib src
	touch $@

.venv/documented: .venv/installed
	$(PIP) --editable '.[docs]'
	touch $@

demo: setup
	$(BIN)/lossatlas fit --overwrite

# Processes begin with a row of files each, so that tests share what they train; who is done takes half of what another
# has left. A process takes more than a gigabyte.
test: .venv/developed
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

# Hostile inputs, for an hour on two cores: make fuzz SECONDS=60 WORKERS=1 SEED=3 ONLY=formats/png. What fails is kept in
# .fuzz, and tried again by make fuzz CASE=.fuzz/NAME.
fuzz: SECONDS ?= 3600
fuzz: WORKERS ?= 2
fuzz: .venv/developed
	PYTHONPATH=tests $(BIN)/python -m fuzzing --seconds=$(SECONDS) --workers=$(WORKERS) --seed='$(SEED)' --only='$(ONLY)' \
		$(if $(CASE),--case='$(CASE)')

lint: .venv/developed
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
