# Fresh machine: Python 3.11 or newer, make, git. `make demo` trains and tests a small model; `make test` runs the tests.
#   PYTHON=python3.12      the interpreter to build on (default: the newest of 3.13, 3.12, 3.11 that runs)
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu      where torch comes from (this one: the small CPU build)
#   PIP_ARGS="..."         more arguments of pip install        PYTEST_ARGS="..."      more arguments of pytest

VENV ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c "import sys; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1 && { echo $$p; exit; }; done; echo python3)
TORCH_INDEX ?=
PIP_ARGS ?=
PYTEST_ARGS ?= -q -n 2 --dist loadfile

RUN := $(VENV)/bin/python
INSTALL = $(PYTHON) .ci/install.py --venv $(VENV) --torch_index "$(TORCH_INDEX)" --pip_args "$(PIP_ARGS)"

.PHONY: help setup demo test lint types check clean

help:
	@echo "make demo    set up, make demo data, train a small pix2pix on it, test it"
	@echo "make test    set up, run the tests"
	@echo "make check   lint, types and tests: what CI runs"
	@echo "make setup   the virtual environment $(VENV) alone        make clean   remove what make demo made"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt .ci/install.py
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements-serve.txt requirements-export.txt requirements-diffusion.txt $(VENV)/.installed
	@$(INSTALL) requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed
	$(RUN) prepare.py demo --kind sem_depth --out demo_data
	$(RUN) train.py --dataroot demo_data --name demo --config recipes/demo.yaml
	$(RUN) test.py --dataroot demo_data --name demo
	@echo "Done. Open results/demo/test_latest/index.html in a browser (training: checkpoints/demo/web/index.html)."

test: $(VENV)/.installed-dev
	$(RUN) -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .

types: $(VENV)/.installed-dev
	$(RUN) -m mypy

check: lint types test

clean:
	rm -rf demo_data checkpoints/demo results/demo
