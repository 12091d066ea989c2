# Everything a person or a machine does here, by name. `make` alone lists it.

CARGO ?= cargo
# nextest where it is installed, else cargo's own runner: the tests are the same.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
RUN_TESTS := $(if $(NEXTEST),$(CARGO) nextest run --locked --no-fail-fast,$(CARGO) test --locked --no-fail-fast)

# The steps share one target directory and wait for its lock: side by side they only get in each other's way.
.NOTPARALLEL:

.PHONY: help
help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

.PHONY: run
run: ## Builds the release binary and serves with the default configuration
	$(CARGO) run --release --locked -- serve

.PHONY: setup
setup: ## Installs the public MCP servers and clients that the tests run (tests/env)
	tests/scripts/setup.sh

# One set of features as it ships, one as the kernel stands alone; the steps share their artifacts.
.PHONY: test
test: setup lint unit doc kernel bench-check ## The whole gate, as continuous integration runs it

.PHONY: lint
lint: ## Formatting and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

.PHONY: unit
unit: setup ## Unit, integration and documentation tests with all features
	$(RUN_TESTS) --all-features $(if $(NEXTEST),,--lib --bins --tests --examples)
	$(CARGO) test --locked --doc --all-features

.PHONY: doc
doc: ## The crate's documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --all-features

# By itself first: the tests' own dependencies switch on features that the library may not count on.
.PHONY: kernel
kernel: ## The library without features: it builds, is clean and passes its tests
	$(CARGO) check --locked --no-default-features
	$(CARGO) clippy --locked --no-default-features --lib --tests -- -D warnings
	$(RUN_TESTS) --no-default-features --lib

.PHONY: bench-check
bench-check: setup ## Instructions of the pure parts against bench/baseline-*.txt; UPDATE=1 renews it
	$(CARGO) run --locked --quiet --profile count --no-default-features --features bench --bin bench-check -- $(if $(UPDATE),--update)

.PHONY: bench
bench: ## Micro-benchmarks, then the load run, which writes docs/benchmarks.md
	$(CARGO) bench --locked --all-features --bench decisions
	$(CARGO) bench --locked --all-features --bench load

CHAOS := $(CARGO) test --locked --all-features --test it chaos -- --nocapture

.PHONY: chaos
chaos: ## Twenty seeds of faults against the real program, about four minutes (docs/reliability.md)
	SWITCHBOARD_CHAOS_RUNS=20 SWITCHBOARD_CHAOS_SECONDS=6 $(CHAOS)

.PHONY: soak
soak: ## The same for thirty minutes, seed after seed; writes its figures into docs/reliability.md
	SWITCHBOARD_CHAOS_RUNS=6 SWITCHBOARD_CHAOS_SECONDS=240 UPDATE_DOCS=1 $(CHAOS)

.PHONY: fmt
fmt: ## Formats the code
	$(CARGO) fmt --all
