# Needs make, git and a Python of 3.11 or newer; everything else is installed into .venv from pyproject.toml.

PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
VENV := .venv
RUN := $(VENV)/bin/python -m

# pip, Material for MkDocs and ProperDocs (below two plugins) are asked not to print news about themselves.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1
export DISABLE_MKDOCS_2_WARNING := true

.DELETE_ON_ERROR:
.PHONY: help demo test coverage bench lint format types docs wheel matrix check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.demo ## show what the library does, on this machine alone
	@$(VENV)/bin/python examples/demo.py

test: $(VENV)/.test ## run the tests
	$(RUN) pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

coverage: $(VENV)/.test ## run the tests and list the lines and branches they miss
	$(RUN) coverage run -m pytest $(ARGS)
	$(RUN) coverage report

bench: $(VENV)/.bench ## measure the library beside bare httpx and its peers; ARGS=--quick for two minutes of it
	$(RUN) benchmarks $(ARGS)

lint: $(VENV)/.dev ## look for what ruff knows to be wrong, and check the formatting
	$(RUN) ruff check
	$(RUN) ruff format --check

format: $(VENV)/.dev ## format the code and repair what ruff can repair
	$(RUN) ruff check --fix-only
	$(RUN) ruff format

types: $(VENV)/.dev ## check the types with mypy and pyright
	$(RUN) mypy
	$(RUN) pyright --pythonpath $(VENV)/bin/python

docs: $(VENV)/.dev ## build the documentation into site/
	$(RUN) mkdocs build --strict

wheel: $(VENV)/.dev ## build sdist and wheel, and try the wheel outside the checkout
	$(RUN) nox --session wheel

matrix: $(VENV)/.dev ## run the tests on every supported Python found, and on the lowest supported dependencies
	$(RUN) nox --session tests lowest -- -q -x

check: lint types test docs wheel ## everything that must pass before a change is merged, but `make bench ARGS=--quick`

clean: ## remove everything that make has made
	rm -rf $(VENV) .nox build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python of 3.11 or newer with venv and ensurepip was found;" \
		"install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) pip install --quiet --upgrade 'pip>=25.1'

# Each stamp is one set of packages; it is renewed when pyproject.toml is newer.
$(VENV)/.demo: EXTRA := --editable '.[all]'
$(VENV)/.test: EXTRA := --editable '.[all]' --group test
$(VENV)/.dev: EXTRA := --editable '.[all]' --group dev
$(VENV)/.bench: EXTRA := --editable '.[all]' --group bench
$(VENV)/.demo $(VENV)/.test $(VENV)/.dev $(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	@echo "installing $(EXTRA)"
	@$(RUN) pip install --quiet --upgrade $(EXTRA)
	@touch $@
