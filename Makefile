# Targets that are commands; each says what it does with `make`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test lint format openapi tutorial bench soak clean

VENV_PYTHON := .venv/bin/python
SCRIPTS := scripts/install scripts/test .ci/run

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

install: ## Install what Hostel needs on this machine (Debian, as root) and .venv with Hostel in it
	@scripts/install

install-dev: ## The same, and what tests and lint need
	@scripts/install --dev

demo: install ## Start the platform on ports 8080 and 8443 and play the whole recipe; ONCE=1 ends after it
	@$(VENV_PYTHON) scripts/demo.py $(if $(filter-out 0,$(ONCE)),--once)

test: install-dev ## Run all tests; ARGS="-k word" for some
	@begin=$$SECONDS; status=0; scripts/test $(ARGS) || status=$$?; \
	echo "Tests took $$((SECONDS - begin)) s."; exit $$status

lint: install-dev ## ruff, mypy, luacheck, shellcheck
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy
	luacheck --quiet src/hostel/edge/lua
	shellcheck $(SCRIPTS)

format: install-dev ## Let ruff rewrite the code's layout
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

openapi: install-dev ## Write docs/reference/openapi.yaml anew, after the API has grown
	@$(VENV_PYTHON) scripts/openapi.py

tutorial: install-dev ## Play the recipe in a browser and keep its pictures in docs/tutorial/
	@$(VENV_PYTHON) scripts/tutorial.py

bench: install-dev ## Requests a second, bare and through Hostel, measured here with wrk
	@$(VENV_PYTHON) bench/throughput.py

soak: install-dev ## Load, reloads and kills for a long time, then the tests' long forms; SECONDS_LONG=3600
	@$(VENV_PYTHON) bench/soak.py --seconds $(or $(SECONDS_LONG),600)
	$(VENV_PYTHON) -m pytest -m soak tests/security/test_api_fuzz.py tests/integration

clean: ## Remove what make has made here (not the demo's data: stop it and remove demo/ yourself)
	rm -rf .venv .venv-clients .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
