# The two commands are `make demo` and `make test`. Each does all its own set-up, once:
# a virtual environment from the hash-locked list, and Node 22 with the JavaScript peers from theirs.
# A fresh machine needs Python 3.11, any Node with npm, and its package registries; no compiler.
#
# "Once" is a stamp named after the hash of what was installed: a changed lock has no stamp yet.

PYTHON ?= python3.11
NPM ?= npm

PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check
# These three publish no wheel; they are Python only. Everything else must come as one: no compiler.
PURE_PYTHON := e-x,python-baseconv,varint

hash = $(firstword $(shell cat $(1) | sha256sum))
LOCK := deploy/requirements-dev.lock
NODE := tests/interop/node
VENV_STAMP := .venv/.set-up-$(call hash,$(LOCK) pyproject.toml)
KUBO := tests/interop/kubo
KUBO_STAMP := .tools/kubo/.set-up-$(call hash,$(KUBO)/go.mod $(KUBO)/go.sum)
NODE_STAMP := $(NODE)/node_modules/.set-up-$(call hash,$(NODE)/package-lock.json)
PAGE := examples/browser
PAGE_STAMP := $(PAGE)/node_modules/.set-up-$(call hash,$(PAGE)/package-lock.json)
VERIFY := examples/verify
VERIFY_STAMP := $(VERIFY)/node_modules/.set-up-$(call hash,$(VERIFY)/package-lock.json)

# Each process of the tests imports a thousand modules: with the bytecode kept it has them in half the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-browser test test-fast soak check run bench venv node kubo page verify-page lock

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

demo: venv node ## the whole story on real peers, step by step, in under a minute
	@.venv/bin/python -m tests.interop.demo

demo-browser: venv node page ## a page to ask and pay from, against a worker and a Doichain of its own, until Ctrl-C
	@.venv/bin/python -m tests.interop.demo_browser

# Most tests wait for peers, so there are more processes than cores; six at most, each has ports of its own
# (tests/interop/worker.py).
AT_ONCE ?= 4

test: venv node page ## every test; TESTS="-k words" or a path for some of them, AT_ONCE=0 one after the other
	.venv/bin/python -m pytest -n $(AT_ONCE) --dist worksteal $(TESTS)

test-fast: venv ## the contributor's lane: domain, stories, contracts, adapters without peers
	.venv/bin/python -m pytest -n $(AT_ONCE) --dist worksteal -m "not slow and not interop" --ignore=tests/adapters/p2p --ignore=tests/interop $(TESTS)

soak: venv ## random lives, kills and histories, for hours; a failure names its seed
	SOAK=1 .venv/bin/python -m pytest -n $(AT_ONCE) --dist worksteal tests/stories/test_killed.py tests/stories/test_sigkill.py tests/domain/test_verdict.py tests/stories/test_money_fuzz.py $(TESTS)

check: venv ## lint, format, types, and which way imports go
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

run: venv ## the worker, as PINNING_… and .env say
	@.venv/bin/pinning-worker check-config > /dev/null || { code=$$?; [ -e .env ] || echo $(NO_ENV) >&2; exit $$code; }
	@.venv/bin/pinning-worker migrate
	@.venv/bin/pinning-worker run

NO_ENV = "There is no .env here: \`cp .env.example .env\` and set the address in it, or try it all without coins: see README.md"

bench: venv node page ## figures against Helia and Kubo, side by side
	@for bench in tests/bench/bench_*.py; do .venv/bin/python -m tests.bench.$$(basename $$bench .py) || exit 1; done

states: venv ## the drawings in docs/states.md, from the table
	.venv/bin/python docs/draw_states.py

venv: $(VENV_STAMP) ## only the Python environment
node: $(NODE_STAMP) ## only Node 22 and the JavaScript peers
kubo: $(KUBO_STAMP) ## Kubo for its tests and the bench, built from its Go module (Go 1.26, some minutes, once)
page: $(PAGE_STAMP) $(VERIFY_STAMP) ## only what the pages in examples are built from
verify-page: node $(VERIFY_STAMP) ## the page that verifies receipts, as one file: examples/verify/dist/index.html
	@cd $(VERIFY) && ../../$(NODE)/node_modules/.bin/node node_modules/vite/bin/vite.js build

$(VENV_STAMP):
	@echo "Setting up the Python environment, once (about a minute)"
	@$(PYTHON) -m venv .venv
	@$(PIP) --no-deps --require-hashes --only-binary :all: --no-binary $(PURE_PYTHON) -r $(LOCK)
	@$(PIP) --no-deps --no-build-isolation -e .
	@rm -f .venv/.set-up-* && touch $@

$(NODE_STAMP):
	@echo "Setting up Node 22 and the JavaScript peers, once (about half a minute)"
	@cd $(NODE) && $(NPM) ci --loglevel=error
	@touch $@

$(PAGE_STAMP):
	@echo "Setting up what the page in $(PAGE) is built from, once (about half a minute)"
	@cd $(PAGE) && $(NPM) ci --loglevel=error
	@touch $@

$(VERIFY_STAMP):
	@echo "Setting up what the page in $(VERIFY) is built from, once (some seconds)"
	@cd $(VERIFY) && $(NPM) ci --loglevel=error
	@touch $@

$(KUBO_STAMP):
	@echo "Building Kubo from its Go module, once (three minutes and more)"
	@mkdir -p .tools/kubo
	@cd $(KUBO) && go build -mod=readonly -o $(CURDIR)/.tools/kubo/ipfs github.com/ipfs/kubo/cmd/ipfs
	@rm -f .tools/kubo/.set-up-* && touch $@

# Three lists, for developers (with every extra), for the service, and for the service with [webrtc]: exact versions,
# hashes, no registry address.
# The override: libp2p pins a fastecdsa that must be compiled; ours has wheels, and only unused keys touch it.
UV := .tools/uv/bin/uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --python-version 3.11 --overrides deploy/overrides.txt \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(FLAGS)
lock: $(UV) ## the locked lists in step with pyproject.toml; FLAGS=--upgrade for newer versions
	$(COMPILE) --all-extras --group dev -o $(LOCK)
	$(COMPILE) --constraints $(LOCK) -o deploy/requirements.lock
	$(COMPILE) --constraints $(LOCK) --extra webrtc -o deploy/requirements-webrtc.lock

$(UV):
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
