CARGO ?= cargo

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the tests run against: PostgreSQL, Chromium, a C compiler
	@scripts/setup

.PHONY: test
test: setup ## Run every test
	$(CARGO) test --workspace --all-features --no-fail-fast

.PHONY: lint
lint: ## Check formatting, lints and documentation; no warning is let through
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

.PHONY: run
run: ## Serve the example shop at http://localhost:8000, its data under ./data
	$(CARGO) run -p shop

.PHONY: clean-data
clean-data: ## Delete ./data, which `make run` filled
	rm -rf data
