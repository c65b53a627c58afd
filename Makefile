# `make demo` and `make test` do their own set-up; the second time it costs less than a second.
# What is made once per machine (the test hosts) is in $TESTBED_CACHE, by default ~/.cache/containerd-bridge.

PYTHON := .venv/bin/python
# Tests mostly wait for servers: twice as many side by side as there are processors.
PYTEST := $(PYTHON) -m pytest --numprocesses $(shell echo $$((2 * $$(nproc)))) --dist loadgroup
# A trial keeps a processor busy: more of them side by side are not done sooner, and each start in them takes many seconds.
TRIALS := $(PYTHON) -m pytest --numprocesses $(shell echo $$((1 + $$(nproc)))) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults test-crashes test-older faults lint types generated unit bench format setup roots lock clean clean-roots

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: NEEDS := demo
demo: setup roots ## about a minute: real containers, their events as they arrive, commands through the bus
	@$(PYTHON) -m examples.demo

test: setup roots lint types generated ## ruff, mypy, the generated files, the tests on real servers
	@echo "test: pytest"
	@$(PYTEST) -m "not older and not faults" $(ARGS)

test-faults: setup roots ## real bridges in trouble under load, and an offline look at what they leave behind
	@$(TRIALS) -m faults $(ARGS)

test-crashes: setup roots ## a bridge dies at every failpoint of every verb, a hundred times over migrations; test-faults tries some
	@EVERY_PLACE=1 $(TRIALS) tests/faults/test_crashes.py tests/faults/test_migrate_crashes.py $(ARGS)

test-older: setup roots ## the command side on containerd 1.6 and 1.7 too
	@$(PYTEST) -m older $(ARGS)

faults: setup roots ## half an hour of random faults on real servers; ARGS="--minutes 5 --seed 7"
	@$(PYTHON) -m tests.faults $(ARGS)

unit: setup ## the tests that need neither root nor a server
	@$(PYTEST) -m "not nats and not containerd" $(ARGS)

lint: setup ## ruff
	@echo "test: ruff"
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .

types: setup ## mypy --strict
	@echo "test: mypy"
	@$(PYTHON) -m mypy

generated: setup ## bridge/_pb is what protos/ says, schemas/ what bridge/model says
	@echo "test: generated files"
	@$(PYTHON) protos/generate.py --check
	@$(PYTHON) -m bridge.model.schema --check

format: setup ## ruff format
	@$(PYTHON) -m ruff format .

bench: setup ## events, latency, memory, start and fold against their aims; five to ten minutes, much longer with ARGS=--full
	@$(PYTHON) -m benchmarks $(ARGS)

setup: # packages from apt where root, the virtual environment
	@scripts/machine $(NEEDS)
	@scripts/venv

roots: setup ## the test hosts: containerd 1.6, 1.7 and 2.1 with runc and CRIU; needs root
	@$(PYTHON) -m tests.testbed roots

lock: ## requirements/ from pyproject.toml
	@scripts/lock

clean: ## the virtual environment and the caches of this checkout
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

clean-roots: setup ## the test hosts of this machine
	@$(PYTHON) -m tests.testbed clean
