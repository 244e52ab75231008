# Needs GNU make and Python >= 3.11, nothing else; `make` alone lists what there is.
# Every target creates or reuses .venv and installs no more than it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
GRID   ?= small

# Else mkdocs-material announces the end of its own life at every build.
export NO_MKDOCS_2_WARNING := 1
# Threads that spin while they wait starve each other where other work runs on the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-services lint docs experiments bench clean chromium

help:  ## this list
	@echo "penchant: targets"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PYTHON=python3.12   the interpreter that .venv is made from (now: $(PYTHON))"
	@echo "  ARGS='-k din -x'    more arguments for test, test-services, demo, experiments, bench"
	@echo "  GRID=full           the grid of experiments (now: $(GRID))"
	@echo "  PENCHANT_DATA=DIR   a folder with public data sets; PENCHANT_REQUIRE=1 makes a skip a failure"

demo: $(VENV)/.demo  ## from a rating log to a trained, evaluated, saved and queried recommender
	@$(BIN)/penchant demo $(ARGS)

test: $(VENV)/.dev  ## the tests that need no server, browser or GPU
	@$(BIN)/pytest $(ARGS)

test-services: $(VENV)/.dev chromium  ## the slow tests, and those that start a server or a browser
	@$(BIN)/pytest -m "(slow or services or browser) and not gpu" $(ARGS)

# No cache: it would keep its verdict on an import whose module has moved since.
lint: $(VENV)/.dev  ## format, lint, types, imports, card points and a strict build of the docs
	@echo "ruff format";  $(BIN)/ruff format --check --no-cache .
	@echo "ruff check";   $(BIN)/ruff check --no-cache .
	@echo "pyright";      $(BIN)/pyright
	@echo "import-linter"; $(BIN)/lint-imports --no-logo
	@echo "card points";  $(BIN)/python tests/points_lint.py
	@echo "docs";         $(BIN)/mkdocs build --strict --site-dir site

docs: $(VENV)/.dev  ## the documentation, into site/
	@$(BIN)/mkdocs build --strict --site-dir site  # no -q: it would hide broken links from --strict
	@echo "open site/index.html, or run $(BIN)/mkdocs serve"

experiments: $(VENV)/.dev  ## every claim's experiment, into docs/results/
	@for file in $(wildcard experiments/[!_]*.py); do \
	  echo "$$file --grid $(GRID)"; $(BIN)/python $$file --grid $(GRID) $(ARGS) || exit 1; done

bench: $(VENV)/.dev  ## races against other libraries, each in its own environment
	@$(BIN)/python benchmarks/run.py $(ARGS)

clean:  ## remove what the targets above built; .venv and runs/ stay
	rm -rf demo site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants .coverage*
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# --- set-up: one stamp file a set of extras, older than pyproject.toml means install again ---

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "penchant needs Python 3.11 or later and '$(PYTHON)' is not one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "could not create $(VENV); on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

# [dev] holds [demo], so a fresh .dev serves the demo too.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@test $(VENV)/.dev -nt pyproject.toml || { echo "installing penchant[demo,plots] (minutes, once)"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,plots]'; }
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing penchant[dev] (minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

chromium:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "installing chromium"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "no chromium: the browser tests will skip. Install your system's package 'chromium'"; \
	  echo "(Debian: sudo apt-get install --no-install-recommends chromium) and run this again."; fi
