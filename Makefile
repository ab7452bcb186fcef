# make help says what there is. make test: all checks and all tests; pytest's closing line comes last.
SHELL := /bin/bash
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help test fast lint shell bench release clean .venv

PYTHON_RUN := .venv/bin/python -m
SHELL_FILES := install.sh uninstall.sh bin/mempalace-toolkit .ci/run .ci/prepare .ci/release \
	$(wildcard tests/bats/*.bats tests/bats/*.bash)
# bats and shellcheck are the system's where it has them, else those that .ci/prepare put into .venv.
WITH_TOOLS := PATH="$$PATH:$(CURDIR)/.venv/bin"
PYTEST_FLAGS ?= -n auto

test: .venv/ready ## all checks and all tests, the installers' and the schedulers' among them
	@echo "make test: checks, installers, then every test: about 20 minutes on two cores." \
	  "make fast: the few that need no palace." >&2
	@$(MAKE) --no-print-directory lint shell
	$(PYTHON_RUN) pytest $(PYTEST_FLAGS)

fast: lint ## all checks, and the tests that need no palace and no scheduler
	$(PYTHON_RUN) pytest $(PYTEST_FLAGS) -m 'not slow and not palace' --ignore-glob='*/test_real_*'

lint: .venv/ready ## ruff, mypy and shellcheck
	$(PYTHON_RUN) ruff check .
	$(PYTHON_RUN) ruff format --check .
	$(PYTHON_RUN) mypy --strict
	$(WITH_TOOLS) shellcheck $(SHELL_FILES)

shell: .venv/ready ## the installers' tests (bats)
	$(WITH_TOOLS) bats tests/bats

bench: .venv/ready ## the benchmarks: an hour, alone on the machine
	$(PYTHON_RUN) pip install -q --disable-pip-version-check --no-input -e '.[test,benchmarks]'
	@set -e; for benchmark in big_store whole_job palace_index recall.run recall_search pi_store; do \
	  $(PYTHON_RUN) "benchmarks.$$benchmark"; done

release: .venv/ready ## VERSION=x.y.z: check the tree, build dist/ and tag it; publishes nothing
	.ci/release "$(VERSION)"

.venv: .venv/ready ## only the environment that the rest needs

.venv/ready: pyproject.toml .ci/prepare
	.ci/prepare

clean: ## remove what the targets made
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z.]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r target words; do \
	  printf 'make %-9s%s\n' "$$target" "$$words"; done
