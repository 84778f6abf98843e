# Two commands on a fresh machine: `make repro` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BASE ?= main
REVS ?= workspace
MARGIN ?= 0.01
FAIL_ON ?= worse
asked = --margin "$(MARGIN)" $(if $(METRICS),--metrics $(METRICS)) $(if $(BY),--by $(BY))
# The environment first on PATH; a shell that DVC can run stages in, whatever the login shell is.
run := SHELL=$(SHELL) PATH="$(CURDIR)/.venv/bin:$$PATH"
pip := .venv/bin/python -m pip --disable-pip-version-check -qq install --no-build-isolation --no-deps --require-hashes

.PHONY: help base checkout check-lock setup setup-spark setup-remote setup-dev setup-bench setup-browser repro test faults cluster lint format review original report gate lock lock-new clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

base:
	@if [ -z "$(BASE)" ]; then echo "error: BASE names the revision to compare with, such as BASE=main" >&2; exit 1; fi

checkout: # what DVC needs to be in
	@if git rev-parse 2>&1 | grep -q "not a git repository"; then \
	  echo "error: $(CURDIR) is not a Git repository (an unpacked archive?); clone the project" \
	    "instead, or run: git init && git add -A && git commit -m Start" >&2; exit 1; fi

repro: checkout setup ## run the pipeline
	@$(run) dvc repro
	@echo "dvc.lock: the speed of search was measured on this machine, so md5 and size of" \
	  "plots/ann_bench may differ; every other byte is as committed if the input is"
	@echo "next: source .venv/bin/activate, then dvc metrics show metrics/evaluate.json,"
	@echo "      musicrec report (writes report.html), or your own plays (README.md)"

test: checkout setup-dev ## run the tests, two files at once
	@$(run) python -m pytest -n 2 --no-loadscope-reorder

report: base setup ## report.html: REVS (default workspace) drawn over BASE, for any browser
	@$(run) musicrec report $(REVS) --base "$(BASE)" $(asked)

review: base setup ## one Markdown report against BASE (default main) for a pull request
	@$(run) musicrec review --base "$(BASE)" $(asked) --fail-on "$(FAIL_ON)"

gate: base setup ## fail if a metric is worse than that of BASE or CHAMPION (FAIL_ON, MARGIN, METRICS, BY, STARTS: docs/review.md)
	@$(run) musicrec compare $(if $(CHAMPION),--champion "$(CHAMPION)","$(BASE)") $(asked) $(if $(STARTS),--starts $(STARTS)) --fail-on "$(FAIL_ON)"

original: setup ## original.html: the original project's whole report on the plays of data.source
	@$(run) dvc repro index && $(run) musicrec original

clean: ## remove .venv and the outputs of the stages; never a file that no stage wrote
	@if [ -x .venv/bin/python ]; then .venv/bin/python scripts/clean.py; fi
	@rm -rf .venv

setup: .venv/setup-done ## make .venv with the locked packages; find or install a C++ compiler

.venv/setup-done: requirements/build.lock requirements/service.lock requirements/pipeline.lock pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh

setup-spark: setup .venv/setup-spark-done ## add PySpark (500 MB); find or install Java: als.engine=mllib, executors

.venv/setup-spark-done: requirements/spark.lock scripts/setup_spark.sh .venv/setup-done
	@bash scripts/setup_spark.sh

setup-remote: setup ## add what the DVC remotes of .dvc/config need: s3, gs, azure or ssh
	@bash scripts/setup_remote.sh

setup-dev: setup-spark .venv/setup-dev-done ## add pytest, ruff, mypy and the like

.venv/setup-dev-done: requirements/dev.lock .venv/setup-spark-done
	@$(pip) -r requirements/dev.lock
	@touch "$@"

setup-bench: setup-dev .venv/setup-bench-done ## add the peers that the benchmarks compare with (faiss, implicit, …)

.venv/setup-bench-done: requirements/s3.lock requirements/bench.lock .venv/setup-dev-done
	@$(pip) -r requirements/s3.lock -r requirements/bench.lock
	@touch "$@"

setup-browser: ## find or install Chromium, for the tests that look at pages (they skip without)
	@bash scripts/setup_browser.sh

# For those who change musicrec itself.

lint: setup-dev ## ruff, mypy, and the direction of imports
	@$(run) ruff check . && $(run) ruff format --check . && $(run) mypy && $(run) lint-imports

format: setup-dev ## let ruff format the code
	@$(run) ruff check --fix . && $(run) ruff format .

check-lock: setup ## fail when dvc.lock is older than the code or the parameters
	@$(run) python scripts/check_lock.py

faults: setup-dev ## hundreds of faults over all stages: kills, damage, full disks, limits; prints counts
	@$(run) python -m tests.faults.run && \
	  $(run) python -m tests.faults.run --engine mllib --stages train --faults 40

cluster: setup-dev ## MLlib and lists for everybody on executors that die in the middle (five minutes)
	@$(run) python -m pytest --override-ini addopts= -q tests/cluster

lock: setup ## pin the newest versions that pyproject.toml allows, with hashes
	@bash scripts/lock.sh

lock-new: setup ## pin what pyproject.toml has gained and upgrade nothing
	@bash scripts/lock.sh --keep
