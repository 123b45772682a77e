# make check before a commit; make ci is what the server runs.

FUZZTIME ?= 60
COUNT ?= 10
RACE = ./events/... ./archive/... ./crypto/... ./index/... ./ingest/... ./retention/... ./server/...

.PHONY: help test check race mutants fuzz soak bench bench-keys bench-erase ci

help:
	@echo "test   all tests"
	@echo "check  formatting, vet, staticcheck, all tests"
	@echo "race   tests of the concurrent packages under the race detector"
	@echo "mutants  takes guards out of the code one by one; a test must notice each"
	@echo "fuzz   every fuzz target for FUZZTIME=$(FUZZTIME) seconds"
	@echo "soak   end-to-end tests with kills and full disks, COUNT=$(COUNT) times"
	@echo "bench  throughput beside the same work without an archive"
	@echo "bench-erase  time to unreadable for a person with 10 messages and with a million"
	@echo "bench-keys  size and time of the keys of ten million subjects"
	@echo "ci     everything, as .ci/run"

test:
	go test ./...

check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go test ./...

race:
	CGO_ENABLED=1 go test -count=1 -race $(RACE)

mutants:
	ESCROW_MUTANTS=1 go test -count=1 -timeout 30m ./internal/mutants

fuzz:
	for p in $$(go list ./...); do for f in $$(go test -list "^Fuzz" $$p | grep "^Fuzz"); do \
		go test -run "^$$" -fuzz "^$$f\$$" -fuzztime $(FUZZTIME)s $$p || exit 1; done; done

soak:
	ESCROW_E2E=1 go test -count=$(COUNT) -run TestE2E -timeout 4h ./cmd/escrow/...

bench:
	go run ./cmd/escrow bench

bench-erase:
	ESCROW_LARGE=1 go test -run "^$$" -bench Unreadable -benchtime 1x ./retention/disposal

bench-keys:
	ESCROW_LARGE=1 go test -count=1 -v -timeout 30m -run TestTenMillionSubjects ./crypto/keystate
	go test -run "^$$" -bench . ./crypto/keytree ./crypto/rootstore/file

ci:
	.ci/run
