# Everything that this repository does, on a machine that has only Python 3.11 to 3.13.
#
#   make demo    set up, segment a real head, print volumes and write a picture
#   make test    set up, then every check: format, lint, types, layers, Dockerfiles, tests with coverage
#
# Each sets itself up; what is done already is not done twice (stamp files in the virtual environment).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= docker/constraints-cpu.txt
# Editable by default; the images set it to nothing.
EDITABLE ?= -e
EXTRAS ?= all
# The first Python that will do. Set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
# One process a core, two at most, because some tests hold gigabytes.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((n < 2 ? 1 : 2)))
# Plain torch from the package index brings gigabytes of CUDA on Linux; this exact version comes first, so that an index
# which has a build for the CPU can give it, and is left alone where some torch is there already.
TORCH := torch==2.13.0
# What the tests compare nnU-Net folders with, each by itself (--no-deps): nnunetv2 names dynamic-network-architectures,
# which names timm and torchvision, and torchvision from PyPI does not go with a torch without CUDA. nnunetv2's prediction
# uses neither, and of what else these name only what stands here is missing.
NNUNET := dynamic-network-architectures nnunetv2 batchgenerators batchgeneratorsv2 acvl-utils connected-components-3d \
	seaborn blosc2 ndindex numexpr httpx
# What the tests of TensorFlow's SavedModels need beside the rest, in a folder that only their processes look into:
# coremltools and others import TensorFlow wherever they find it, which takes seconds in each process.
TENSORFLOW := "tensorflow-cpu; sys_platform == 'linux' and platform_machine == 'x86_64'" \
	"tensorflow; sys_platform != 'linux' or platform_machine != 'x86_64'" \
	tf2onnx keras absl-py astunparse gast google-pasta h5py namex opt-einsum optree termcolor wrapt

# How much `make fuzz` does, such as "--seconds 150" or "--inputs 5000 --kinds dicom".
FUZZ ?= --inputs 200000
# What `make sanitize` runs beside the odd values.
SANITIZED ?= tests/ops

.PHONY: help demo test lint format fuzz sanitize bench docs install package constraints clean

help: ## Show the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.stamp-demo ## Segment a real T1 head into white and grey matter, from DICOM series to DICOM SEG.
	$(BIN)/gpukit demo --output demo --force

test: lint $(VENV)/.stamp-tensorflow ## Every check: lint, types, layers, Dockerfiles, tests with coverage.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term-missing:skip-covered --durations=15

lint: $(VENV)/.stamp-test ## Format, lint, types, layers, Dockerfiles, words.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/make_licences.py --check
	$(BIN)/hadolint docker/Dockerfile.cpu docker/Dockerfile.cuda
	$(BIN)/python docs/check_words.py

format: $(VENV)/.stamp-test ## Rewrite the sources in the house style.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(VENV)/.stamp-test ## Damage files of every format and read them; FUZZ says how many or how long.
	cd tests && PYTHONPATH=. $(abspath $(BIN))/python -m fuzz.run $(FUZZ) --keep ../build/fuzz

sanitize: $(VENV)/.stamp-test ## Run the tests of the operations on kernels with AddressSanitizer and UBSan.
	rm -rf build/sanitize
	$(BIN)/python backends/build_kernels.py --sanitize build/sanitize
	GPUKIT_CPU_KERNELS_FOLDER=$(abspath build/sanitize) \
		LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$(abspath build/sanitize)/report \
		UBSAN_OPTIONS=print_stacktrace=1:log_path=$(abspath build/sanitize)/report \
		$(BIN)/python -m pytest -q -p no:cacheprovider -m "not slow" tests/ops/test_odd_values.py $(SANITIZED)
	! grep -h "runtime error\|ERROR: AddressSanitizer" build/sanitize/report.*

bench: $(VENV)/.stamp-test ## Measure against the peers, side by side in one run.
	$(BIN)/python -m benchmarks

docs: $(VENV)/.stamp-docs ## Build the guide; a warning is an error.
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q docs docs/_build

install: $(VENV)/.stamp-torch ## Install gpukit with EXTRAS.
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) $(EDITABLE) ".[$(EXTRAS)]"

package: $(VENV)/.stamp-test ## Build the wheel and the source distribution.
	$(BIN)/python -m build

constraints: $(VENV)/.stamp-test $(VENV)/.stamp-tensorflow $(VENV)/.stamp-docs ## Pin what is installed now.
	$(BIN)/python docker/pin.py $(NNUNET) $(TENSORFLOW) > docker/constraints-cpu.txt

clean: ## Remove what the other targets made, the virtual environment too.
	rm -rf $(VENV) build dist demo docs/_build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# --- the virtual environment ------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "gpukit needs Python 3.11, 3.12 or 3.13; set PYTHON to one" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-torch: | $(VENV)/bin/python
	$(BIN)/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null || \
		$(BIN)/python -m pip install -q -c $(CONSTRAINTS) $(TORCH)
	touch $@

$(VENV)/.stamp-test: pyproject.toml $(CONSTRAINTS) backends/build_kernels.py $(wildcard backends/gpukit_backends/kernels/*.[ch]) | $(VENV)/.stamp-torch
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) $(EDITABLE) ".[test,lint]"
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) --no-deps $(NNUNET)
	touch $@

$(VENV)/.stamp-tensorflow: $(CONSTRAINTS) | $(VENV)/.stamp-test
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) --no-deps --upgrade --target $(VENV)/tensorflow $(TENSORFLOW) || \
		echo "TensorFlow cannot be installed here, so the tests of its SavedModels skip" >&2
	touch $@

$(VENV)/.stamp-demo: pyproject.toml $(CONSTRAINTS) backends/build_kernels.py $(wildcard backends/gpukit_backends/kernels/*.[ch]) | $(VENV)/.stamp-torch
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) $(EDITABLE) ".[demo]"
	touch $@

$(VENV)/.stamp-docs: pyproject.toml $(CONSTRAINTS) | $(VENV)/.stamp-torch
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) $(EDITABLE) ".[docs]"
	touch $@
