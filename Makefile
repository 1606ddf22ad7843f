# Everything starts from here: the first target that needs it makes .venv and installs what requirements.lock pins.
# Python modules are called with -m: console scripts carry the path of .venv in their first line, which breaks when
# that path is long or has spaces.

# Which Python makes .venv; if none is named, .ci/fastest-python chooses.
PYTHON ?=
ARGS ?=
PY := .venv/bin/python
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test load chaos simulate fuzz conformance bench check format lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(STAMP) ## Make .venv and install everything (the other targets do this by themselves)

run: $(STAMP) ## Start the game: PostgreSQL, Valkey, migrations and the server (ARGS="--reload")
	@exec $(PY) -m gameserver up $(ARGS)

test: $(STAMP) ## Run all tests against real servers of their own (ARGS="-k name")
	@exec $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

load: $(STAMP) ## Simulate 2,000 players against the running game and prove that nothing was lost
	@exec $(PY) -m gameserver loadtest $(ARGS)

chaos: $(STAMP) ## Kill, freeze, cut off and drain real nodes under play, and prove that nothing was lost
	@exec $(PY) -m loadtest.chaos $(ARGS)

simulate: $(STAMP) ## Let all go wrong in simulated clusters, seed after seed (SEED=7 STEPS=20: that one, with 20 troubles)
	@exec $(PY) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS))

fuzz: $(STAMP) ## Throw whatever bytes at the WebSocket edge (EXAMPLES=100000: for longer)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) exec $(PY) -m pytest -n 3 tests/net/test_fuzz.py $(ARGS)

conformance: $(STAMP) ## Run Autobahn's testsuite against the WebSocket edge (needs Python 2.7 and a C compiler)
	@exec $(PY) -m tests.conformance $(ARGS)

bench: $(STAMP) ## Measure beside a Node.js peer, and write docs/benchmarks.md (needs a C compiler and Node.js)
	@exec $(PY) -m loadtest.bench $(ARGS)

check: $(STAMP) ## Check format, lint, types and the layers
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: $(STAMP) ## Format the code and fix what can be fixed
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: $(STAMP) ## Pin the newest dependencies that pyproject.toml allows
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
		--extra dev --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml

clean: ## Remove .venv and caches; the game's data in .gameserver stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No path of ours stands in a rule: they may hold spaces. A half-made .venv has no stamp and is made again.
$(STAMP): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/setup
