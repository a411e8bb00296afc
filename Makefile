# One word per job. `make run` and `make test` need nothing but Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_ARGS ?= --config examples/quickstart.yaml
TEST_ARGS ?=
# All but litellm, which brings fifty packages and has a lock of its own.
EXTRAS := --extra objects --extra oidc --extra onnx --extra postgres --extra redis --extra signing --extra train --extra vertex

.PHONY: setup run test test-inside test-protocols test-system test-chaos check lint format lock bench bench-faults bench-mcp bench-a2a bench-batches docs routing-results clean

setup: $(VENV)/dev.stamp

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: $(BIN)/python requirements/core.txt requirements/build.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/core.txt -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

run: $(VENV)/core.stamp
	$(BIN)/pointsman serve $(RUN_ARGS)

# One thread each: with more, small products wait for a core that somebody else has.
test test-inside test-protocols test-system test-chaos: export OPENBLAS_NUM_THREADS := 1
CHAOS := tests/chaos
CALM := $(addprefix $(CHAOS)/test_,checkpoints.py spawning.py stream_cuts.py)
PROTOCOLS := tests/system/a2a tests/system/mcp
SYSTEM := tests/contract tests/system

# What starts servers mostly waits for them: it runs in two halves, with all else beside them. What puts a gateway under
# load comes last, when it is alone; the calm faults need not wait for that.
test: setup
ifeq ($(TEST_ARGS),)
	$(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target test-protocols test-system test-inside
	$(MAKE) --no-print-directory test-chaos
else
	$(BIN)/python -m pytest $(TEST_ARGS)
endif

test-protocols:
	$(BIN)/python -m pytest $(PROTOCOLS) $(CALM) -p no:cacheprovider

test-system:
	$(BIN)/python -m pytest $(SYSTEM) $(PROTOCOLS:%=--ignore=%) -p no:cacheprovider

test-inside:
	nice $(BIN)/python -m pytest $(addprefix --ignore=,$(SYSTEM) $(CHAOS)) -p no:cacheprovider

test-chaos:
	$(BIN)/python -m pytest $(CHAOS) $(CALM:%=--ignore=%)

check: lint test

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup
	for set in core:pyproject.toml "all:pyproject.toml $(EXTRAS)" "build:--group build" \
	           "dev:pyproject.toml $(EXTRAS) --group dev" "litellm:pyproject.toml --extra litellm"; do \
	  $(BIN)/uv pip compile --quiet $${set#*:} --universal --generate-hashes --no-header --upgrade \
	    --output-file requirements/$${set%%:*}.txt || exit 1; \
	done

bench: setup
	$(BIN)/python bench/run.py $(BENCH_ARGS)

bench-faults: setup
	$(BIN)/python bench/faults.py $(BENCH_ARGS)

bench-mcp: setup
	$(BIN)/python bench/mcp.py $(BENCH_ARGS)

bench-a2a: setup
	$(BIN)/python bench/a2a.py $(BENCH_ARGS)

bench-batches: setup
	$(BIN)/python -m bench.batches $(BENCH_ARGS)

docs: setup
	$(BIN)/python docs/generate.py

# About an hour on one core; a run that was stopped goes on where it was.
routing-results: setup
	OPENBLAS_NUM_THREADS=1 $(BIN)/python docs/routing_results.py $(or $(DATA),../shared/data)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
