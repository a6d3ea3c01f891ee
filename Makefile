# make demo   try it: one incident against the sandbox, no cloud account
# make test   everything that can be tested without a cloud
# make lint   style and types
# make bench  the numbers of the README; PREDECESSOR=path/function_app.py measures that beside ours

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AZURITE := tests/azurite/node_modules
KUSTO := tests/kusto/node_modules
CHECKOV := .venv-checkov/bin/checkov

# Microsoft's worker library exists for Python 3.13 alone: where that is present, all tests run twice.
PYTHON313 := $(shell for python in python3.13 "$$(pyenv prefix 3.13 2>/dev/null)/bin/python3.13"; do \
	"$$python" -c '' 2>/dev/null && echo "$$python" && break; done)
BIN313 := .venv-3.13/bin

# Pure rooms do no I/O, so nothing excuses a branch of theirs that no test takes.
PURE := ioc naming pruning chain attribution entities graph contract setting settings brief \
	infrastructure allowlist moment errors models incident_models
PURE_TESTS := $(PURE:%=tests/test_%.py) tests/net/test_gate.py tests/render

.PHONY: demo test test-pure test-3.13 lint bench package links clean

demo: $(VENV)/engine
	@$(BIN)/python -m mdti demo
	@echo
	@$(BIN)/python -m tests.playbooks.demo

test: $(VENV)/dev $(AZURITE) $(KUSTO) $(CHECKOV) test-pure $(if $(PYTHON313),test-3.13)
	@PATH="$(CURDIR)/$(dir $(CHECKOV)):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile

test-pure: $(VENV)/dev
	@$(BIN)/python -m pytest $(PURE_TESTS) $(PURE:%=--cov=mdti.%) --cov=mdti.net.gate \
		--cov=mdti.render --cov-branch --cov-report=term:skip-covered --cov-fail-under=100

test-3.13: .venv-3.13/dev $(AZURITE) $(KUSTO)
	@$(BIN313)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/dev
	@$(BIN)/python -m tests.bench $(if $(PREDECESSOR),--predecessor $(PREDECESSOR))

# The zip that a deployment takes, with its SHA-256 beside it.
package: $(VENV)/runtime
	@$(BIN)/python -m tools.package

# Every button and address, from infra/address.json; every made template, from its source.
links: $(VENV)/runtime
	@$(BIN)/python -m tools.playbooks
	@$(BIN)/python -m tools.compose
	@$(BIN)/python -m tools.links

clean:
	rm -rf $(VENV) .venv-3.13 .venv-checkov $(AZURITE) $(KUSTO) build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/runtime: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --editable .
	@touch $@

# Microsoft's Logic Apps engine plays the playbook; where it cannot be had, the demo goes without.
$(VENV)/engine: $(VENV)/runtime
	@-$(BIN)/python -m pip install --quiet --group engine
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV), with what the tests need ..."
	@$(BIN)/python -m pip install -qq --editable . --group dev
	@touch $@ $(VENV)/runtime $(VENV)/engine

.venv-3.13/dev: pyproject.toml
	@echo "Installing into .venv-3.13 ..."
	@$(PYTHON313) -m venv .venv-3.13
	@$(BIN313)/python -m pip install --quiet --upgrade pip
	@$(BIN313)/python -m pip install -qq --editable . --group dev
	@touch $@

# Checks the templates; it pins so much that it gets an environment of its own.
$(CHECKOV):
	@echo "Installing checkov into .venv-checkov ..."
	@$(PYTHON) -m venv .venv-checkov
	@.venv-checkov/bin/python -m pip install -qq "checkov>=3.2,<4"

# Microsoft's storage emulator and its Kusto parser; without Node their tests say why they are skipped.
$(AZURITE) $(KUSTO): %/node_modules: %/package.json
	@if command -v npm >/dev/null; then npm ci --silent --prefix $* && touch $@; fi
