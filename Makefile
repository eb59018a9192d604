CARGO ?= cargo

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the tests run against: PostgreSQL, PgBouncer, Redis, Chromium, a C compiler
	@scripts/setup

.PHONY: test
test: setup ## Run every test, and the applications' with each isolation
	$(CARGO) test --workspace --no-fail-fast --features tenantry/testing,tenantry/redis,tenantry/s3
	@# what a browser shows, and what is no request at all, is tried on both engines and no further
	for isolation in rows schema database; do \
		echo "the applications' tests with $$isolation"; \
		if [ $$isolation = rows ]; then but=; else but="-- --skip browser:: --skip bad_input::"; fi; \
		TENANTRY_TEST_ISOLATION=$$isolation $(CARGO) test --workspace --no-fail-fast \
			--features tenantry/testing,tenantry/redis,tenantry/s3 --test it $$but || exit 1; \
	done

.PHONY: lint
lint: ## Check formatting, lints and documentation; no warning is let through
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features tenantry/testing,tenantry/redis,tenantry/s3 -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

.PHONY: run
run: ## Serve the example shop at http://localhost:8000, its data under ./data
	$(CARGO) run -p shop

.PHONY: run-books
run-books: ## Serve the books at http://localhost:8000, their data under ./data/books
	$(CARGO) run -p books -- --data data/books

.PHONY: bench
bench: ## Measure what tenancy costs, on a PostgreSQL of its own
	$(CARGO) run --release -p tenantry-bench -- postgres

.PHONY: clean-data
clean-data: ## Delete ./data, which `make run` and `make run-books` filled
	rm -rf data
