# Two commands matter: `make demo` and `make test`. Both build the virtual environment they need.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench chaos mutants docs screenshots clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Create .venv with Milepost and its tools, at the pinned versions

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Milepost needs Python 3.11 or newer; try: make PYTHON=python3.12 install"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Milepost into $(VENV) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## The main job from a new page to a read mail, on a sample site (KEEP=1 goes on as `milepost up`)
	@$(BIN)/milepost demo $(if $(KEEP),--keep)

test: install ## The tests
# Modules are kept compiled: many tests start interpreters. What is left goes to whoever is free, the long tests first;
# `auto` is three workers for two cores (tests/conftest.py).
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: install ## ruff, mypy (strict; over the tests less so), import-linter
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file tests/mypy.ini
	@$(BIN)/lint-imports

bench: install ## Measure what the documentation claims
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/python -m bench

chaos: install ## Play every fault on a dispatch and on the looks; nobody may miss an issue or get it twice (CHAOS=full)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[chaos]'
	@$(BIN)/python -m pytest -m chaos -rs -s $(ARGS)

docs: install ## Write the pages that are made from others: docs/settings.md, docs/operations/capacity.md
	@$(BIN)/python -m milepost.settings_reference > docs/settings.md
	@$(BIN)/python -m bench.capacity > docs/operations/capacity.md.new && mv docs/operations/capacity.md.new docs/operations/capacity.md

mutants: install ## Flip decisions and see which test notices, 20 minutes at most (ARGS="--each 0 --minutes 90": all)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[mutants]'
	@$(BIN)/python -m bench.mutants $(ARGS)

screenshots: install ## Draw the documentation's pictures again (needs Debian's chromium)
	@$(BIN)/python -m bench.screenshots
	@$(BIN)/python -m bench.desk_pages

clean: ## Remove what the other commands made
	@rm -rf $(VENV) .venv-* milepost-demo mutants build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
