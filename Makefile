# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
PYTHON311 ?= $(or $(shell command -v python3.11 2>/dev/null),$(PYTHON))
VENV := .venv
BIN := $(VENV)/bin
INSTALL := bin/pip install --quiet --disable-pip-version-check --constraint
PIP := $(VENV)/$(INSTALL) constraints.txt
# Tests skip an engine that cannot be imported, so that is tried first.
define TRY_ENGINE
	$(<D)/bin/python -c 'from transformers4recsys.data.readers import READERS; READERS["$(@:engine-%=%)"].check_usable(".")'
	OMP_NUM_THREADS=1 $(<D)/bin/python -m pytest -m 'not slow' -k 'not documented or $(@:engine-%=%)' \
		tests/smoke/test_readme.py::test_the_documented_command tests/data --ignore tests/data/test_remote_files.py
endef
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help setup demo test test-slow smoke install-check check bench zoo clean engine-nvtabular engine-petastorm engine-spark gpu-extra

help: ## list what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/dev ## environment for work on the code

# torch first and by its exact pin: nothing after it may choose another build.
$(VENV)/run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV) (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(shell grep '^torch==' constraints.txt)
	@$(PIP) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run
	@echo "Installing the tools for tests and checks"
	@$(PIP) --editable '.[dev,wandb]'
	@touch $@

# The packages of two engines need an older pyarrow, numpy and pandas: each has an environment of its own.
.venv-%/run: pyproject.toml constraints-%.txt
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "This engine needs Python 3.11, $(PYTHON311) is another: make PYTHON311=/path/to/python3.11 ..."; exit 1; }
	@echo "Installing into .venv-$* (minutes)"
	@$(PYTHON311) -m venv .venv-$*
	@.venv-$*/$(INSTALL) constraints-$*.txt $(shell grep '^torch==' constraints-$*.txt)
	@.venv-$*/$(INSTALL) constraints-$*.txt --editable '.[$*]' pytest
	@.venv-$*/$(INSTALL) constraints-$*.txt --no-deps $(shell grep '^$*==' constraints-$*.txt)
	@touch $@

engine-nvtabular: .venv-nvtabular/run ## the nvtabular engine: set-up, the documented command, tests
	$(TRY_ENGINE)

engine-petastorm: .venv-petastorm/run ## the petastorm engine: the same
	$(TRY_ENGINE)

demo: $(VENV)/run ## the main job on a made-up shop: simulate, preprocess, train day by day
	@rm -rf demo/days demo/log
	$(BIN)/transformers4recsys simulate --output demo/log --days 6 --sessions_per_day 4000 --items 2000
	$(BIN)/transformers4recsys preprocess --input demo/log --output demo/days --recipe datasets/ecommerce-large/preprocessing.yaml
	cd demo && ../$(BIN)/transformers4recsys train ../datasets/simulated/train.yaml

test: $(VENV)/dev ## tests, a few minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'not slow and not smoke and not spark'

test-slow: $(VENV)/dev ## tests of learning and of large input
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow

engine-spark: $(VENV)/dev ## preprocess on PySpark against DuckDB; needs Java 17
	@java -version >/dev/null 2>&1 || { echo "Java 17 is needed: apt-get install openjdk-17-jre-headless"; exit 1; }
	@$(PIP) --editable '.[spark]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m spark

gpu-extra: $(VENV)/dev ## the fused loss of the extra `gpu`, its kernel interpreted on the CPU; needs Linux
	@$(PIP) --editable '.[gpu]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/model/objectives/test_fused.py

smoke: $(VENV)/dev ## the documented commands, as written
	$(BIN)/python -m pytest -m smoke

install-check: ## install elsewhere, with the newest and with the lowest versions allowed, and run the commands
	PYTHON=$(PYTHON) tests/smoke/installed.sh
	PYTHON=$(PYTHON) tests/smoke/installed.sh constraints-lowest.txt

check: $(VENV)/dev ## format, lint, types, layers, images, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint container/Dockerfile.dev container/Dockerfile.dev_nvt container/Dockerfile.serve
	$(BIN)/python -m pytest tests/test_house_rules.py

bench: $(VENV)/dev ## speed and memory; BASELINE=script.py measures a baseline beside it
	$(BIN)/transformers4recsys benchmark $(if $(BASELINE),--baseline $(BASELINE))

zoo: $(VENV)/dev ## every encoder, task and loss trained for a few days: docs/models.md (an hour); ESHOP=events.parquet
	$(BIN)/python benchmarks/zoo.py $(if $(ESHOP),--eshop $(ESHOP))

clean: ## remove the environment and all output
	rm -rf $(VENV) $(VENV)-nvtabular $(VENV)-petastorm demo .pytest_cache .ruff_cache codes/*.egg-info
