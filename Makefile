# Two commands set up everything: `make run` (the main job) and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
CONSTRAINTS ?= constraints.txt
EVERY ?= 1
KILLS ?= 1000
INPUTS ?= 10000
# -P: not what lies in this folder is tested, but what is installed
PYTEST = $(BIN)/python -P -m pytest -n $(WORKERS) --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# what pip prints, without its hundreds of lines: the packages of 10 MB and more, and how many are installed
PIP_LINES = /^ *(Downloading|Using cached) .*\([0-9.]+ [MG]B\)/ { \
	    size = $$0; sub(/.*\(/, "", size); sub(/\).*/, "", size); name = $$0; sub(/ *\(.*/, "", name); sub(/.*[ \/]/, "", name); \
	    split(name, part, "-"); if (size ~ /GB/ || size + 0 >= 10) { print "  " ($$1 == "Using" ? "cached" : "fetching"), part[1], part[2] ", " size; fflush() } } \
	  /^Installing collected packages/ { print "  installing", NF - 3, "packages, which takes minutes"; fflush() }

.PHONY: help setup run test test-slow test-wheel reliability gpu lint docs wheel bench bench-gpu clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## the virtual environment in .venv, with the zoo in it

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; fix: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 6; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing zoo in $(VENV), once: PyTorch and its CUDA libraries take about 6 GB and several minutes"
	@rm -f $(VENV)/pip.failed
	@{ PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --progress-bar off --constraint $(CONSTRAINTS) --editable '.[dev]' 2> $(VENV)/pip.log \
	    || touch $(VENV)/pip.failed; } | awk '$(PIP_LINES)'
	@test ! -e $(VENV)/pip.failed || { \
	  if grep -qi 'no space left' $(VENV)/pip.log; then \
	    echo "error: the disk is full: $(VENV) takes some 7 GB; fix: free some, or make VENV=/a/folder/on/another/disk $(MAKECMDGOALS)"; \
	  elif grep -qE '^WARNING: Retrying|from versions: none|Max retries|timed out' $(VENV)/pip.log; then \
	    echo "error: the packages could not be fetched (see $(VENV)/pip.log); fix: connect to a package index, or set PIP_INDEX_URL to one"; \
	  else tail -n 20 $(VENV)/pip.log; echo "error: pip failed (see $(VENV)/pip.log); fix: repair what it names, then repeat"; fi; exit 6; }
	@touch $(STAMP)

run: $(STAMP)  ## the main job: train on embedded digits, evaluate, export through the gate, predict
	@$(BIN)/python -m zoo run cnn_digits
	@$(BIN)/python -m zoo export cnn_digits --onnx
	@$(BIN)/python -m zoo predict exports/cnn_digits "$$(ls -d runs/cnn_digits/*/ | tail -n 1)samples" --top 1
	@echo
	@echo "Next: $(BIN)/zoo list             what else is here"
	@echo "      $(BIN)/zoo runs             this run again; its plots lie in the run's folder"
	@echo "      $(BIN)/zoo run cnn_mnist    the same on MNIST (downloads 12 MB)"

test: $(STAMP)  ## every test that needs no GPU, and the linters
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(PYTEST) -m "not slow and not gpu"

test-slow: $(STAMP)  ## the checks that take minutes
	@$(PYTEST) -m "slow and not gpu"

test-wheel: wheel  ## every test once more, against the built wheel in place of the sources
	@rm -rf build/site && $(BIN)/python -m pip install --quiet --no-deps --target build/site dist/torch_zoo-*.whl
	@PYTHONPATH=build/site ZOO_TEST_INSTALLED=build/site $(PYTEST) -m "not slow and not gpu"

reliability: $(STAMP)  ## hours: every file call failing, 1,500 kills, 100,000 reads, 81,000 damaged inputs; writes docs/reliability.md
	@mkdir -p build/reliability
	@$(BIN)/python -P tests/faults/campaign.py --workers $(WORKERS) --every $(EVERY) --out build/reliability/faults.json || test -f build/reliability/faults.json
	@$(BIN)/python -P tests/faults/kills.py --count $(KILLS) --out build/reliability/kills.json || test -f build/reliability/kills.json
	@$(BIN)/python -P tests/faults/publishing.py --out build/reliability/publishing.json || test -f build/reliability/publishing.json
	@OMP_NUM_THREADS=1 $(BIN)/python -P tests/fuzz/onnx_files.py --out build/reliability/onnx_files.json || test -f build/reliability/onnx_files.json
	@$(BIN)/python -P tests/fuzz/fuzzing.py --count $(INPUTS) --out build/reliability/fuzz.json || test -f build/reliability/fuzz.json
	@$(BIN)/python -P tests/reliability.py build/reliability

gpu: $(STAMP)  ## the tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu

lint: $(STAMP)  ## format, and repair what can be repaired
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(STAMP)  ## the documentation site in build/site-docs; a dead link is an error
	@$(BIN)/python -c 'import zensical, mkdocstrings_handlers.python' 2> /dev/null || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]' || { \
	  echo "error: the packages of the documentation could not be installed; fix: connect to a package index, then repeat"; exit 6; }
	@$(BIN)/python docs/build_site.py

wheel: $(STAMP)  ## build the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

bench: $(STAMP)  ## 25 minutes: the CPU's part of docs/performance.md (MNIST, CIFAR-10, cats and dogs under ZOO_DATA)
	@$(BIN)/python benchmarks/bench.py

bench-gpu: gpu  ## the tests that need a CUDA device, then an epoch on it against other loops, where steps wait, and a profile
	@$(BIN)/python benchmarks/gpu_epochs.py
	@$(BIN)/python benchmarks/performance_page.py

clean:  ## remove the environment and what building left
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
