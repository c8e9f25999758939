# Short names for what README.md and .ci/run do. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test lint notebooks docs benchmarks ci clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(BIN)/batpak  ## a virtual environment with everything for development

$(BIN)/batpak: pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[all]'

demo: setup  ## read the bundled store
	$(BIN)/batpak demo

test: setup  ## the tests
	$(BIN)/pytest -n auto --dist loadfile

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict --explicit-package-bases batpak_analytics tests

notebooks: setup  ## run the notebooks and compare every output
	$(BIN)/pytest --nbval --nbval-current-env --nbval-sanitize-with notebooks/nbval.cfg notebooks

docs: setup  ## build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

benchmarks: setup  ## measure beside the reference and others, and write the page (needs cargo; minutes)
	$(BIN)/python -m tests.benchmarks --long --write docs/benchmarks.md

ci:  ## everything that continuous integration runs, from nothing
	.ci/run

clean:  ## remove what was built
	rm -rf .venv build docs/_build *.egg-info
	find batpak_analytics -name '*.so' -delete
