CARGO ?= cargo

# One set for all that is checked and tested, so that what is built once serves again.
FEATURES = --features tenantry/testing,tenantry/redis,tenantry/s3,shop/redis,shop/otlp

# What the benchmark compares with.
PEERS = django-tenants,django-rows,fastify,sqlx,sqlx-rls,sea-orm,sea-orm-rls,diesel,diesel-rls,rustango,rustango-tuned

ON_BOTH_ENGINES = $(foreach of,browser bad_input domains files_in_s3 logs mail otlp redis settings themes,--skip $(of)::)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the tests run against: PostgreSQL, PgBouncer, Redis, Chromium, a C compiler
	@scripts/setup

.PHONY: test
test: setup ## Run every test, and the applications' with each isolation
	@# all of it, even if the first fails; what a browser shows, what is no request at all, and what
	@# goes into the catalog or elsewhere than into a tenant's database, is tried on both engines and,
	@# but for the conformance suite, no further
	failed=0; $(CARGO) test --workspace --no-fail-fast $(FEATURES) || failed=1; \
	for isolation in rows schema database; do \
		echo "the applications' tests with $$isolation"; \
		if [ $$isolation = rows ]; then but=; else but="-- $(ON_BOTH_ENGINES)"; fi; \
		TENANTRY_TEST_ISOLATION=$$isolation $(CARGO) test --workspace --no-fail-fast $(FEATURES) \
			--test it $$but || failed=1; \
	done; exit $$failed

.PHONY: lint
lint: ## Check formatting, lints and documentation; no warning is let through
	$(CARGO) fmt --all --check
	for peer in bench/peers/*/Cargo.toml; do $(CARGO) fmt --manifest-path $$peer --check || exit 1; done
	$(CARGO) clippy --workspace --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(FEATURES)

.PHONY: run
run: ## Serve the example shop at http://localhost:8000, its data under ./data
	$(CARGO) run -p shop

.PHONY: run-books
run-books: ## Serve the books at http://localhost:8000, their data under ./data/books
	$(CARGO) run -p books -- --data data/books

.PHONY: bench
bench: ## Measure what tenancy costs, on a PostgreSQL of its own
	$(CARGO) run --release -p tenantry-bench -- postgres

.PHONY: bench-full
bench-full: ## Measure beside programs of others too, and as tenants grow: an hour and more; see target/bench
	mkdir -p target/bench
	$(CARGO) run --release -p tenantry-bench -- postgres --with $(PEERS) \
		--output target/bench/comparison.md --plot target/bench/comparison.svg
	$(CARGO) run --release -p tenantry-bench -- postgres --tenants 10,1000,10000 --rounds 5 \
		--output target/bench/growth.md

.PHONY: clean-data
clean-data: ## Delete ./data, which `make run` and `make run-books` filled
	rm -rf data
