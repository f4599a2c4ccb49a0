# make run: start the gateway. make test, make bench, make lint, make clean. Everything lives in .venv.
# ARGS="…" is handed on to the program that is started.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Directories are in the list because a deleted file changes only them.
SOURCES := pyproject.toml $(shell find firmware gateway protocols -name __pycache__ -prune -o \
	\( -type d -o -name '*.py' -o -name '*.pxd' \) -print)
PEERS := tests/integration
NPM := $(shell command -v npm 2>/dev/null)

.PHONY: run test bench lint clean

run: $(VENV)/installed
	$(BIN)/leafgate run $(ARGS)

test: $(VENV)/installed $(VENV)/installed-test $(if $(NPM),$(PEERS)/node_modules/installed)
	$(BIN)/pytest $(ARGS)

bench: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

lint: $(VENV)/installed $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

clean:
	rm -rf $(VENV) build *.egg-info $(PEERS)/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leafgate needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# A regular install, so that what runs and what is tested is what a user gets. A left-over build directory would bring
# deleted modules back.
$(VENV)/installed: $(SOURCES) | $(BIN)/python
	rm -rf build
	$(PIP) install .
	rm -rf build
	touch $@

$(VENV)/installed-%: pyproject.toml | $(VENV)/installed
	$(PIP) install '.[$*]'
	rm -rf build
	touch $@

# Node is not needed for anything else; without these peers their tests skip and say so.
$(PEERS)/node_modules/installed: $(PEERS)/package.json
	cd $(PEERS) && npm install --no-package-lock --no-audit --no-fund --loglevel=error \
		&& touch node_modules/installed || echo "npm could not install the test peers; their tests will skip"
