# Every habit of the project is a target here; `make help` lists them.
#
#   PYTHON   the Python that makes the environment (3.11 or newer), and that runs `make gpu`
#   VENV     where the environment lives
#   TORCH    a torch to install in place of the pinned one: a path or name of a wheel
#   RESULTS  where `make gpu` writes its files

PYTHON  ?= python3
VENV    ?= .venv
TORCH   ?=
RESULTS ?= $(or $(OUT),benchmarks/results)
TESTS   ?= tests
WORKERS ?= 2

SHELL := /bin/bash
RUN   := $(VENV)/bin/python

# The link .typing/tilewright makes the checkout importable; what the caller put on the path stays.
HERE := PYTHONPATH="$(CURDIR)/.typing$${PYTHONPATH:+:$$PYTHONPATH}"

# Doctests run by module name: by path, every class would exist twice.
DOCTESTS := tilewright.ir

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format bench ptx-corpus gpu gpu-dry clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## make .venv with what the demo needs; keeps a torch that is already there
	@$(PYTHON) .ci/environment.py "$(VENV)" --extras demo --torch "$(TORCH)"

setup-dev:  ## make .venv with what tests and checks need
	@$(PYTHON) .ci/environment.py "$(VENV)" --extras dev --torch "$(TORCH)"

demo: setup  ## run the main job and print its table
	$(HERE) $(RUN) examples/demo.py

test: setup-dev  ## run all tests that need no GPU
	$(HERE) $(RUN) -m pytest -q -n $(WORKERS) --doctest-modules --ignore=tests/gpu $(TESTS) --pyargs $(DOCTESTS)

check: setup-dev  ## formatting, lint, types, layers, and the size report
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	MYPYPATH=.typing $(RUN) -m mypy -p tilewright
	$(HERE) $(RUN) -m pytest -q tests/project/test_layers.py
	$(RUN) tests/project/size_report.py

format: setup-dev  ## format the sources and fix what the linter can fix
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: setup  ## measure against the peers on this machine
	$(HERE) $(RUN) benchmarks/run.py

ptx-corpus:  ## compile tests/vm/corpus anew, in an environment of its own
	@test -x .venv-corpus/bin/python || $(PYTHON) -m venv .venv-corpus
	@.venv-corpus/bin/python -m pip install -q --no-deps -r tests/vm/corpus/requirements.txt
	.venv-corpus/bin/python tests/vm/corpus/make.py

gpu:  ## run tests/gpu and the benchmarks on a GPU: offline, no .venv, with $(PYTHON)
	$(HERE) $(PYTHON) benchmarks/gpu.py --results "$(RESULTS)"

gpu-dry:  ## the same on the CPU and the virtual machine
	$(HERE) $(PYTHON) benchmarks/gpu.py --results "$(RESULTS)" --dry

clean:  ## remove the environment and everything that was built
	rm -rf "$(VENV)" build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
