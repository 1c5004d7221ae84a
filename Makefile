# The project's verbs: the same here and in continuous integration. Each builds what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: install demo test quick ui check bench docs lock clean-demo

demo: .venv/.installed          ## the shipped demo contract end to end, under five minutes
	DPSYNTH_HOME="$${DPSYNTH_HOME:-.dpsynth}" $(BIN)/dpsynth demo

install: .venv/.installed       ## the environment, and the command `.venv/bin/dpsynth`

test: .venv/.installed          ## all tests, the slow ones too, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

quick: .venv/.installed         ## the fast tests, on two cores, in a minute and a half
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

ui: .venv/.installed            ## the Dagster UI over what has been run
	$(BIN)/dpsynth ui

check: .venv/.installed         ## style, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed         ## the figures of README and docs, as ratios within one run
	$(BIN)/python -m benchmarks

docs: .venv/.installed          ## the reference pages, from the code that they describe
	$(BIN)/python docs/reference/generate.py

lock: .venv/.installed          ## pins what is installed now
	$(BIN)/pip freeze --exclude-editable --local | sed 's/+cpu$$//' > requirements.lock

clean-demo:                     ## forgets the demo: its fictional inbox, releases AND ledger
	rm -rf .dpsynth data/inbox

.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev,deploy]'
	touch $@
