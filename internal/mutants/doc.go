// Package mutants proves the tests: it takes one guard after the other out of the code and demands that the test named beside it fails.
//
// A mutant is an edit of one file, laid over the build with `go test -overlay`, so nothing is ever written into the tree and the shipped code has no
// switches. Every `go test` checks that each edit still fits its file and that each named test exists; with ESCROW_MUTANTS set, as in .ci/run, the
// mutants are built and run (`make mutants`).
package mutants
