# The two commands a newcomer needs are `make demo` and `make test`. Both use the dev profile, so nothing is built twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test tools build lint units house deny bench bench-tools fuzz

# Where the demo keeps the configuration it publishes: `bundle` (a file, nothing to install) or `etcd`.
STORE ?= bundle
# `make demo CHECK=1` verifies every outcome, stops by itself and fails if anything differs.
CHECK ?= 0
# `make demo PROFILE=release` runs optimised programs: for numbers, and slower to build.
PROFILE ?= dev

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: tools build ## Start everything on loopback and send real signed requests (STORE=etcd, CHECK=1, PROFILE=release)
	@STORE='$(STORE)' CHECK='$(CHECK)' PROFILE='$(PROFILE)' config/demo/run.sh

test: tools lint units ## Everything that must hold: format, lints, tests, who may use what

tools: ## Install from Debian what building and testing need, when it is missing
	@config/tools.sh

build: ## The programs, as the demo and the tests use them
	@PROFILE='$(PROFILE)' config/programs.sh

lint: ## Format and lints, warnings refused
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

# The programs are built first because whole-system tests of one package run the programs of the others.
units: build ## Every test of the workspace
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --locked --workspace; \
	else \
	    echo "cargo-nextest is not installed: running the same tests with cargo test, one package after another"; \
	    cargo test --locked --workspace --all-targets -- --test-threads=4; \
	fi

house: ## Only the rules about who may use what
	cargo test --locked -p lgsp-testkit --test house

# Published advisories are fetched from GitHub; on a network without it the rest is still checked, and said to be the rest.
deny: ## Licences, sources, bans and published advisories of all dependencies (needs cargo-deny)
	@if cargo deny --version >/dev/null 2>&1; then \
	    cargo deny --locked check bans licenses sources && \
	    { cargo deny --locked check advisories || { \
	        echo "bans, licences and sources are in order; the advisories were not checked or are not in order: see above." >&2; \
	        echo "hint: they are fetched from https://github.com/rustsec/advisory-db" >&2; exit 1; }; }; \
	else \
	    echo "cargo-deny is not installed; \`make house\` checks licences and who may use what without it." >&2; \
	    echo "hint: cargo install --locked cargo-deny" >&2; exit 1; \
	fi

bench-tools:
	@config/tools.sh bench

bench: bench-tools ## The rooms, search among agencies, then CPU per request beside nginx, haproxy and bare Pingora
	cargo bench --locked -p lgsp-benches --features criterion
	cargo bench --locked -p lgsp-controlplane --features bench --bench search
	benches/compare/run.sh

# libFuzzer needs compiler switches that only a nightly toolchain takes openly; a stable one takes them when told to. No
# sanitizer: the parsers are safe code, and run several times as many inputs without.
fuzz: ## Fuzz every parser of network input for FUZZ_SECS seconds each (ROOM=shared for one room; needs cargo-fuzz)
	@if ! cargo fuzz --version >/dev/null 2>&1; then \
	    echo "cargo-fuzz is not installed." >&2; \
	    echo "hint: cargo install --locked cargo-fuzz" >&2; exit 1; \
	fi; \
	if cargo +nightly --version >/dev/null 2>&1; then export RUSTUP_TOOLCHAIN=nightly; else export RUSTC_BOOTSTRAP=1; fi; \
	shopt -s nullglob; for manifest in $(or $(ROOM),*)/fuzz/Cargo.toml; do \
	    room=$$(dirname "$$(dirname "$$manifest")"); \
	    for target in $$(cd "$$room" && cargo fuzz list); do \
	        echo "fuzzing $$room $$target"; \
	        (cd "$$room" && cargo fuzz run --sanitizer none "$$target" -- -max_total_time=$${FUZZ_SECS:-60} -timeout=10 -rss_limit_mb=2048); \
	    done; \
	done
