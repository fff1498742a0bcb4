# `make report` on a fresh machine: installs into .venv, builds every report, says where they are.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# The same bytes on every machine: no hash seed, no threads in the linear algebra.
export PYTHONHASHSEED := 0
# Without byte code every process compiles every library again, for seconds.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A file a process, a process a core, in the order of tests/conftest.py.
TOGETHER := -n logical --dist loadfile --no-loadscope-reorder

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is wanted: make PYTHON=python3.11 …"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: .venv/installed ## Install everything into .venv

report: .venv/installed ## Build every report, zh and en, HTML and PDF
	$(BIN)/o2o report

check: .venv/installed ## Format, lint, types and static tests
	$(BIN)/pytest -q tests/static

test: .venv/installed report ## Everything: install, report, checks, all tests
	$(BIN)/pytest -q $(TOGETHER)

bench: .venv/installed ## Speed against the named peers
	for bench in benchmarks/*.py; do $(BIN)/python $$bench; done

lab: .venv/installed ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

lock: ## Bring requirements.lock and environment.yml in step with pyproject.toml (wants uv)
	uv pip compile --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/python scripts/environment.py

clean: ## Remove what was built, and .venv
	rm -rf .venv build dist *.egg-info reports/*/*.html reports/*/*.pdf .pytest_cache .mypy_cache .ruff_cache

.PHONY: help install report check test bench lab lock clean
