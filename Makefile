.DEFAULT_GOAL := help
.PHONY: help run test check bench soak shots screenshots generate vendor vuln

# The race detector needs a C compiler. Where there is none, and .ci/tools could not get one, the tests run without it.
CC_FOUND := $(shell command -v $$(go env CC) 2>/dev/null)
RACE = $(if $(CC_FOUND),-race,)
WITH_DATABASE = go run ./app/db/dbtest/with --

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## build, and run everything on http://127.0.0.1:8080
	@go build -trimpath -o bin/portico ./cmd/portico
	@exec bin/portico dev

test: ## gofmt, go vet, staticcheck, and every test, on a PostgreSQL and a Chromium of its own
	@.ci/tools
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory tests

# The whole program's tests are many, and three times as slow with the race detector: make soak runs them with it.
WHOLE = ./cmd/portico

.PHONY: tests tests-apart tests-whole
tests:
	$(if $(CC_FOUND),,@echo "no C compiler: the tests run without the race detector")
	$(WITH_DATABASE) $(MAKE) --no-print-directory -j2 --output-sync=target tests-apart tests-whole

tests-apart:
	go test $(RACE) -timeout 45m $$(go list ./... | grep -v /cmd/portico$$)

tests-whole:
	go test -timeout 45m $(WHOLE)

check: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

bench: ## run the benchmarks
	@.ci/tools
	go run ./app/db/dbtest/with -disk -- go test -run '^$$' -bench . -benchmem -timeout 3h ./...

soak: ## run the fault tests with real durations, and every walk also in a Chromium without scripts, which takes long
	@.ci/tools
	PORTICO_SOAK=1 $(WITH_DATABASE) go test $(RACE) -count 1 -timeout 60m -v -run 'Soak|Fault|Kill|Signal' ./app/... ./jobs/...
	PORTICO_SOAK=1 $(WITH_DATABASE) go test $(RACE) -count 1 -timeout 60m -v $(WHOLE)

shots: ## make screenshots of every page at 1280 and 360 px, light and dark, in shots/
	@.ci/tools
	PORTICO_SHOTS=$(CURDIR)/shots $(WITH_DATABASE) go test -count 1 -timeout 30m -run '^TestShots$$' ./cmd/portico

screenshots: ## make the README's screenshots anew, in docs/screenshots/
	@.ci/tools
	PORTICO_README=$(CURDIR)/docs/screenshots $(WITH_DATABASE) go test -count 1 -run '^TestReadme$$' ./cmd/portico

generate: ## write docs/actions.md anew from what is declared in app/provisioning
	go test -count 1 -run '^TestGuide_IsCurrent$$' ./app/provisioning -update

vendor: ## fetch the pinned front-end files again (needs the network)
	static/vendor/update.sh

vuln: ## look for known vulnerabilities in what we build on (needs the network)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...
