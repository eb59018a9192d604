CARGO ?= cargo

# One set for all that is checked and tested, so that what is built once serves again.
FEATURES = --features tenantry/testing,tenantry/redis,tenantry/s3,shop/redis,shop/otlp

# What was built to measure, and what it compares with.
MEASURE = target/release/tenantry-bench
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
bench-full: ## Measure all of it, beside programs of others too: an hour and a half; see target/bench
	mkdir -p target/bench
	$(CARGO) build --release -p tenantry-bench -p shop
	$(MEASURE) postgres --with $(PEERS) \
		--output target/bench/comparison.md --plot target/bench/comparison.svg
	$(MEASURE) postgres --tenants 100 --with django-tenants,rustango,rustango-tuned \
		--output target/bench/hundred.md
	$(MEASURE) postgres --road insert --output target/bench/insert.md
	$(MEASURE) postgres --road mixed --output target/bench/mixed.md
	$(MEASURE) postgres --choice zipf --output target/bench/zipf.md
	$(MEASURE) postgres --tenants 10,1000,10000 --rounds 5 --output target/bench/growth.md
	$(MEASURE) postgres --tenants 10,10000 --isolation rows --rounds 3 --seconds 30 \
		--output target/bench/growth-of-rows.md
	$(MEASURE) files --tenants 10,1000,6000 --folder target/bench --with sqlx \
		--output target/bench/files.md
	$(MEASURE) files --tenants 10,10000 --asked 10 --folder target/bench --output target/bench/asked.md
	$(MEASURE) files --tenants 10,256,10000 --asked 256 --rounds 9 --folder target/bench \
		--output target/bench/open.md
	$(MEASURE) request --output target/bench/request.md
	$(MEASURE) memory --folder target/bench --output target/bench/memory.md
	$(MEASURE) memory --tenants 100000 --files 0 --rounds 1 --path /api/products \
		--output target/bench/catalog.md
	$(MEASURE) start --folder target/bench --output target/bench/start.md
	for what in flood decide neighbours jobs; do \
		$(MEASURE) $$what > target/bench/$$what.md || exit 1; \
	done
	$(MEASURE) jobs --isolation rows > target/bench/jobs-of-rows.md
	$(MEASURE) lifecycle --folder target/bench > target/bench/lifecycle.md

.PHONY: clean-data
clean-data: ## Delete ./data, which `make run` and `make run-books` filled
	rm -rf data
