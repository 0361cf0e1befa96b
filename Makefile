# The two commands are `make run` and `make test`; `make` alone lists all of them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run plugins test soak setup fmt clippy doc bench

LISTEN ?= 127.0.0.1:12345
GATEWAY ?= 127.0.0.1:8080
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET_DIR)/release
# Everything is built in one profile, so that what the commands have in common is built once.
PROFILE := --release --locked
PLUGINS := mail report resize
# Always built by itself: its SQL engine takes minutes, and would be built again for each other set of features that its
# dependencies are asked for.
REPORT := -p report -p report-document

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf 'make %-8s %s\n' "$$name" "$$text"; done

run: plugins ## builds and starts host and gateway (LISTEN=127.0.0.1:12345 GATEWAY=127.0.0.1:8080)
	@exec tests/serve.sh $(BUILT) $(LISTEN) $(GATEWAY)

plugins: ## builds host, gateway and plugins, and puts these into ./plugins
	@tests/setup.sh build
	@cargo build $(PROFILE) -p host -p gateway -p mail -p resize
	@cargo build $(PROFILE) -p report
	@# By a rename, since a running host may have the old file open.
	@for name in $(PLUGINS); do \
		cp $(BUILT)/lib$$name.so plugins/.lib$$name.so.new && mv -f plugins/.lib$$name.so.new plugins/lib$$name.so; \
	done

test: setup fmt clippy doc ## runs every check and every test
	@# First, since the end-to-end tests need the plugin, and nothing should be built beside them.
	cargo test $(PROFILE) $(REPORT)
	cargo test $(PROFILE)

soak: ## reloads in full numbers: 1,000 under load, 1,000 with workers killed, 10,000 without load (6 minutes)
	SOAK=1 cargo test $(PROFILE) -p tests --test e2e -- --nocapture --test-threads 1 reload::load reload::soak

setup: ## puts in place what the tests need beyond Rust
	@tests/setup.sh tests

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy $(PROFILE) --all-targets -- -D warnings
	cargo clippy $(PROFILE) $(REPORT) --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc $(PROFILE) --no-deps
	RUSTDOCFLAGS='-D warnings' cargo doc $(PROFILE) $(REPORT) --no-deps

bench: ## measures, and prints the figures that stand in docs/
	@tests/setup.sh bench
	@tests/bench/run.sh
	@for bench in plugins/*/bench/run.sh; do $$bench; done
