# Needs only make, Python 3.11 or newer and the package registries; uv is fetched into .uv/ by itself.

PYTHON ?= python3
KEEP ?=
ARGS ?=

UV := .uv/bin/uv
UV_STAMP := .uv/is-0.13
RUN := $(UV) run --no-sync --quiet

# Some processes more than processors (tests/conftest.py); whoever has nothing left to do takes tests of another's.
SHARED := --numprocesses=auto --dist=worksteal
# Hundreds of lives that mostly end in a kill, which leaves no coverage.
KILLING := tests/chaos tests/playbooks

# Empty where the interpreter is missing or too old: the target `interpreter` then says so.
FOUND := $(shell $(PYTHON) -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else "")' 2>/dev/null)

export UV_PYTHON := $(FOUND)
export UV_PYTHON_DOWNLOADS := never
# An activated environment of something else would only confuse uv.
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check bench docs clean interpreter sync

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter."

demo: $(UV_STAMP) ## Break a small real shop and watch it being healed (KEEP=1 stays up)
	@[ -d .venv ] || echo "Installing Penelope and the shop into .venv ..."
	@KEEP="$(KEEP)" PYTHONPATH="$(CURDIR)/examples" $(UV) run --locked --quiet --no-dev --group shop python -m shop.demo

test: sync ## Run all tests on all processors (or with ARGS="-k gate" what that asks pytest for)
	@$(RUN) pytest $(or $(ARGS),$(SHARED)); code=$$?; $(if $(ARGS),exit $$code,[ $$code -eq 1 ] || exit $$code); \
		echo "Some failed beside all others. Once more, each alone: what fails then has failed."; \
		$(RUN) pytest --last-failed --last-failed-no-failures=none

coverage: sync ## Run the tests that kill nothing, with branch coverage of every process: twice the time
	@$(RUN) coverage erase
	@$(RUN) coverage run -m pytest $(SHARED) $(addprefix --ignore=,$(KILLING))
	@$(RUN) coverage combine --quiet
	@$(RUN) coverage report

check: sync ## Check style, types, import contracts, news fragments and generated docs
	@$(RUN) ruff check --quiet .
	@$(RUN) ruff format --check --quiet . || { echo "Not formatted: run '$(UV) run ruff format .'"; exit 1; }
	@$(RUN) mypy --no-error-summary
	@$(RUN) lint-imports --no-logo
	@$(RUN) towncrier build --draft --version next >/dev/null
	@$(RUN) python docs/generate.py --check

bench: sync ## Run every benchmark in bench/ and print what it measured
	@for file in bench/[!_]*.py; do \
		[ -f "$$file" ] || { echo "No benchmark in bench/ yet."; continue; }; \
		echo "== $$file"; PYTHONPATH="$(CURDIR)/examples" $(RUN) python "$$file" || exit 1; \
	done

docs: sync ## Write docs/reference/ and the picture of the imports anew from the code
	@$(RUN) python docs/generate.py

clean: ## Remove everything that make installed or cached (data in var/ stays)
	@rm -rf .uv .venv dist .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find src tests docs bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

interpreter:
	@[ -n "$(FOUND)" ] || { \
		echo "Penelope needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
		echo "Name another one, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }

# The stamp carries the version, so that raising it fetches the new uv into an old folder.
$(UV_STAMP): | interpreter
	@echo "Installing uv into .uv ..."
	@$(PYTHON) -m venv --clear .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.*'
	@touch $@

sync: $(UV_STAMP)
	@[ -d .venv ] || echo "Installing Penelope and its tools into .venv ..."
	@$(UV) sync --locked --quiet
