# make chat: a chat in the browser. make test: what CI runs. Both set up .venv first.

.PHONY: setup chat test lint test-slow bench continual browser clean
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
RUN := runs/tiny
# The first of these that runs and is new enough; a name alone may be an empty shim.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

setup: .venv/.ready

.venv/.ready: pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "nanohydra needs Python 3.11 or newer"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "setting up .venv (a few minutes the first time)"
	@$(BIN)/pip install -qq -c constraints.txt torch
	@$(BIN)/pip install -qq -c constraints.txt -e '.[dev,hf,memory,track]'
	@touch $@

chat: setup
	@test -f $(RUN)/report.json || $(BIN)/nanohydra speedrun --recipe tiny --out $(RUN) --resume
	@$(BIN)/nanohydra serve --model $(RUN) --open

test: lint browser
	@$(BIN)/pytest

lint: setup
	@$(BIN)/ruff check -q
	@$(BIN)/ruff format -q --check
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python scripts/tree.py --check

test-slow: setup browser
	@$(BIN)/pytest -m slow

# The tests of the page drive Chromium; without one they are skipped with that reason.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && exit 0; done; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Chromium" \
	&& apt-get -qq update && apt-get -qq install -y chromium >/dev/null && exit 0; \
	echo "no Chromium here: the tests of the page will be skipped"

bench: setup
	@for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

# Every strategy against forgetting on a small stream that needs no files.
continual: setup
	@$(BIN)/nanohydra continual run --recipe continual_quick --resume

clean:
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find nanohydra tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
