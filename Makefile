# make test: everything it needs, then all checks and all tests; pytest's closing line comes last.
SHELL := /bin/bash
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: test lint shell bench clean .venv

PYTHON_RUN := .venv/bin/python -m
SHELL_FILES := install.sh uninstall.sh bin/mempalace-toolkit .ci/run .ci/prepare \
	$(wildcard tests/bats/*.bats tests/bats/*.bash)
# bats and shellcheck are the system's where it has them, else those that .ci/prepare put into .venv.
WITH_TOOLS := PATH="$$PATH:$(CURDIR)/.venv/bin"
PYTEST_FLAGS ?= -n auto

test: lint shell
	$(PYTHON_RUN) pytest $(PYTEST_FLAGS)

lint: .venv/ready
	$(PYTHON_RUN) ruff check .
	$(PYTHON_RUN) ruff format --check .
	$(PYTHON_RUN) mypy --strict
	$(WITH_TOOLS) shellcheck $(SHELL_FILES)

shell: .venv/ready
	$(WITH_TOOLS) bats tests/bats

bench: .venv/ready
	$(PYTHON_RUN) pip install -q --disable-pip-version-check --no-input -e '.[test,benchmarks]'
	@set -e; for benchmark in big_store whole_job palace_index recall.run pi_store; do \
	  $(PYTHON_RUN) "benchmarks.$$benchmark"; done

.venv: .venv/ready

.venv/ready: pyproject.toml .ci/prepare
	.ci/prepare

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
