# Framewatch's tasks. Python 3.11 or later and make are all they need; `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=
FUZZ_ARGS ?=
FAULTS_ARGS ?=
SOAK_MINUTES ?= 60
DEMO_ARGS ?=
BENCH_ARGS ?=

# Folders too, so that a deleted file counts as a change.
SOURCES := pyproject.toml README.md LICENSE $(shell find worker -name __pycache__ -prune -o -print)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test faults soak fuzz lint bench bench-quick docs image requirements clean

help:  ## list these tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: .venv/.runs .venv/.wheel  ## watch a dozen make-believe streams (DEMO_ARGS=--keep goes on until Ctrl-C)
	@$(BIN)/framewatch demo $(DEMO_ARGS)

test: .venv/.develops .venv/.oracle .venv/.wheel  ## the whole suite, on the installed wheel (PYTEST_ARGS="-k word" for a part)
	FRAMEWATCH_TEST_INSTALLED=1 $(BIN)/pytest $(PYTEST_ARGS)

# Broker and workers are real, and the counts large: a test may take many minutes.
FAULTS := FRAMEWATCH_TEST_REQUIRE_KAFKA=1 FRAMEWATCH_TEST_INSTALLED=1 FRAMEWATCH_TEST_FAULTS=full \
  FRAMEWATCH_TEST_WRITE_DOCS=1

faults: .venv/.develops .venv/.wheel  ## the fault suite with full counts, half an hour; writes docs/reliability.md (FAULTS_ARGS="-k kill")
	$(FAULTS) $(BIN)/pytest tests/faults -o faulthandler_timeout=1800 $(FAULTS_ARGS)

soak: .venv/.develops .venv/.wheel  ## an hour at 70 % load with a kill every minute; writes its row too (SOAK_MINUTES=5)
	$(FAULTS) FRAMEWATCH_TEST_SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/pytest tests/faults/test_soak.py \
	  -o faulthandler_timeout=0 $(FAULTS_ARGS)

fuzz: .venv/.develops .venv/.wheel  ## broken media through the jail (FUZZ_ARGS="--seconds 600 --seed 7 --count 20000")
	PYTHONPATH=tests $(BIN)/python -m hostile.fuzz $(FUZZ_ARGS)

lint: .venv/.develops  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.develops .venv/.oracle .venv/.wheel .cache/peers/made  ## what it costs, held to its bounds (BENCH_ARGS="stages --keep docs/benchmarks")
	$(BIN)/python benchmarks $(BENCH_ARGS)

bench-quick: .venv/.develops .venv/.oracle .venv/.wheel .cache/peers/made  ## a little of each: proves that it runs, not how fast
	$(BIN)/python benchmarks --quick $(BENCH_ARGS)

docs: .venv/.develops .venv/.wheel  ## write the schemas and the generated tables of docs/ anew
	$(BIN)/framewatch schema docs
	$(BIN)/python deploy/dashboards
	$(BIN)/python benchmarks --write docs
	FRAMEWATCH_TEST_WRITE_DOCS=1 $(BIN)/pytest -q -k "the_documents_table or the_schema_of_settings" tests/test_telemetry.py tests/settings tests/operations/chart

image: .venv/.develops .venv/.wheel  ## build the container image and look into it (root, buildah, debootstrap)
	@mkdir -p .cache
	deploy/build-image | tee .cache/image.log
	eval "$$(tail -n 1 .cache/image.log | sed 's#pytest.*##') $(BIN)/pytest -q tests/operations/test_image.py"

requirements: .venv/.develops  ## compile requirements/*.txt afresh, with the newest versions
	UV=$(BIN)/uv requirements/compile

clean:  ## remove everything that these tasks made
	rm -rf .venv .cache dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.runs: .venv/.made requirements/demo.txt requirements/build.txt
	$(PIP) install --only-binary :all: --require-hashes -r requirements/demo.txt -r requirements/build.txt
	@touch $@

.venv/.develops: .venv/.made requirements/dev.txt
	$(PIP) install --only-binary :all: --require-hashes -r requirements/dev.txt
	@touch $@ .venv/.runs

# From source, with the pinned compilers of dev.txt. Its tests are skipped where there is no C++ compiler.
.venv/.oracle: .venv/.develops requirements/oracle.txt
	@$(PIP) install --no-build-isolation --no-deps --require-hashes -r requirements/oracle.txt >.venv/oracle.log 2>&1 && touch $@ \
	  || echo "pdqhash was not built (.venv/oracle.log): the tests that compare with it are skipped"

# What people build this with today, for the benchmarks: a Python of its own, and the pdqhash that was built above.
# --no-deps: peers.txt is whole, less what nothing here imports.
PEERS := .cache/peers/bin/python -m pip --quiet --disable-pip-version-check
.cache/peers/made: .venv/.develops .venv/.oracle requirements/peers.txt requirements/oracle.txt
	@rm -rf .cache/peers && $(PYTHON) -m venv .cache/peers
	@{ $(PEERS) install --only-binary :all: --no-deps --require-hashes -r requirements/peers.txt \
	  && $(PIP) wheel --no-build-isolation --no-deps --require-hashes --wheel-dir .cache/peers/built -r requirements/oracle.txt \
	  && $(PEERS) install --no-deps --no-index .cache/peers/built/*.whl; } >.cache/peers.log 2>&1 && touch $@ \
	  || echo "the peers were not installed (.cache/peers.log): nothing is measured beside them"

# --no-build-isolation: the pinned hatchling of this environment builds, not whatever is newest today.
.venv/.wheel: $(SOURCES) | .venv/.runs
	rm -rf dist
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .
	$(PIP) install --force-reinstall --no-deps --no-index dist/*.whl
	@touch $@
