# make demo   train the embedded demonstration and leave samples in workdirs/demo
# make test   lint, then the tests
# make tables regenerate results/*.md from the recorded data
# make bench  regenerate results/benchmarks.md: times and memory, other libraries beside ours (15 minutes on 2 cores)
# make bench-flowpp   the same for what a paper adds; also bench-macow, bench-vflow, bench-agave, bench-realnvp
# make test-slow  the long forms of the tests, which `make test` leaves out
# make docs   build the documentation site in build/site; `make docs-serve` shows it while you write
# make tutorials   run the tutorials and write the pages that show what they give (ten minutes on 2 cores)
# make release-check   build the wheel, install it in a bare environment, run the README's first screen there
# make lint   style, and which package imports which
# make clean  remove caches, build products and the demonstration's workdir

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_BENCH := $(VENV)/.installed-bench
INSTALLED_DOCS := $(VENV)/.installed-docs

# Any interpreter that setup.cfg admits; `make PYTHON=...` overrides the search.
PYTHON ?= $(shell for candidate in python3.11 python3 python3.12 python; do \
	  $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	  && echo $$candidate && break; done)

DEMO_WORKDIR := workdirs/demo
DEMO := $(BIN)/python reproductions/glow/run.py --experiment=demo --workdir=$(DEMO_WORKDIR)

export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint docs docs-serve tutorials release-check tables bench bench-flowpp bench-macow bench-vflow bench-agave bench-realnvp clean

help:
	@sed -n 's/^# //p' Makefile | head -n 11

# Samples of a model that is trained already, then training.
demo: $(INSTALLED)
	$(BIN)/python -m reproductions.shipped show
	$(DEMO)

test: lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow --numprocesses=2 --dist=loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

# Modules are read, not imported; warnings are errors, and every internal link is checked.
docs: $(INSTALLED_DOCS)
	$(BIN)/python tools/assemble_docs.py build/docs
	$(BIN)/zensical build --clean --strict

docs-serve: $(INSTALLED_DOCS)
	$(BIN)/python tools/assemble_docs.py build/docs
	$(BIN)/zensical serve

tutorials: $(INSTALLED_DOCS)
	$(BIN)/python tools/render_tutorials.py

release-check: $(INSTALLED_DOCS)
	$(BIN)/python tools/check_release.py

tables: $(INSTALLED)
	$(BIN)/python -m reproductions.tables results/

# A topic that fails leaves its earlier result, and fails the target after the page is made.
bench: $(INSTALLED_BENCH)
	$(BIN)/python -m benchmarks.run; status=$$?; \
	  $(BIN)/python -m reproductions.tables results/ && exit $$status

# What a paper adds is compared with no other library, but for RealNVP's couplings.
bench-realnvp: $(INSTALLED_BENCH)
	$(BIN)/python -m benchmarks.run --paper=realnvp; status=$$?; \
	  $(BIN)/python -m reproductions.tables results/ && exit $$status

bench-flowpp bench-macow bench-vflow bench-agave: bench-%: $(INSTALLED)
	$(BIN)/python -m benchmarks.run --paper=$*; status=$$?; \
	  $(BIN)/python -m reproductions.tables results/ && exit $$status

# The environment is made once, and brought up to date when what it must hold has changed.
$(INSTALLED): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: install one, or name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test,reproductions]'
	touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[test,docs,release]'
	touch $@

# The other libraries. The extra index has torch for the CPU, a tenth of what PyPI has; `make bench TORCH_INDEX=` does without it.
# JAX's libraries have an environment of their own, since they pin others' versions.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
$(INSTALLED_BENCH): $(INSTALLED) benchmarks/glow/flax_requirements.txt
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url=$(TORCH_INDEX)) --editable '.[test,reproductions,bench]'
	test -x .venv-flax/bin/python || $(PYTHON) -m venv .venv-flax
	.venv-flax/bin/python -m pip install --quiet --requirement benchmarks/glow/flax_requirements.txt
	touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache $(DEMO_WORKDIR)
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
