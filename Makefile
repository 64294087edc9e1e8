# The commands of development; `make help` lists them.

# Python 3.11 or newer, used once to make .venv. Choose another with `make setup PYTHON=...`.
PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
# Seconds within which the slow tests must end.
SLOW_SECONDS ?= 1440
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-clean test slow lint docs bench calibration mutants clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.stamp  ## install everything into .venv (the commands below do it by themselves)

demo: .venv/.stamp  ## the main job on data that is at hand, labels noisy: findings and a report
	$(BIN)/tutelage run demo

demo-clean: .venv/.stamp  ## the same with clean labels
	$(BIN)/tutelage run demo-clean

test: lint  ## lint, then the fast tests
	$(BIN)/pytest

slow: .venv/.stamp  ## the tests that take minutes, within SLOW_SECONDS (1440)
	@$(BIN)/pytest -m 'slow and not gpu' \
		--timeout=$(SLOW_SECONDS) --session-timeout=$(SLOW_SECONDS) || { \
		status=$$?; test $$status -eq 5 && echo 'No test is marked slow.' || exit $$status; }

lint: .venv/.stamp  ## style, types, the import order, the declared dependencies
	$(BIN)/ruff check src tests benchmarks calibration
	$(BIN)/ruff format --check src tests benchmarks calibration
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry src --optional-dependencies-dev-groups dev,bench,docs,mutation

docs: .venv/.docs  ## the documentation as a site in build/site; building it needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'build/site/index.html'

bench: .venv/.stamp  ## speed against the peers' way, 20 minutes (QUICK=1: 3; DATA=: CIFAR-10 too)
	@$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick) $(if $(DATA),--data '$(DATA)')

calibration: .venv/.stamp  ## 10,000 studies of known truth a row, 10 minutes: docs/calibration.md
	OMP_NUM_THREADS=1 $(BIN)/python -m calibration.run

mutants: .venv/.stamp  ## change the losses and teachers in every small way: do the tests notice?
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e '.[dev,mutation]'
	@mkdir -p mutants/src
	PYTHONPATH=$(CURDIR)/mutants/src OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

clean:  ## remove caches and builds (not .venv, not a store)
	rm -rf build dist mutants .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv without a working pip (half made, or of a Python that is gone) is made again.
.venv/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'tutelage needs Python 3.11 or newer, and "$(PYTHON)" is none.' \
			'Name one: make setup PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e '.[dev]'
	@# On all cores, which pip does not do. Left to the first import it would be done at every start
	@# of every worker where PYTHONDONTWRITEBYTECODE is set: seconds each time.
	@$(BIN)/python -m compileall -qq -j 0 $(BIN)/../lib || true
	@touch $@

.venv/.docs: .venv/.stamp
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e '.[docs]'
	@touch $@
