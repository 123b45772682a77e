// Package rules holds the house rules of this module as tests: who may import whom and which library, which names and calls are banned and where,
// how large a function may be, that everything is documented, and that the documents are true. It has no code besides its tests.
//
// To add a package, add it to importTable in imports_test.go: the packages it may import, each with a reason. To add a library, add it to
// libraries in libraries_test.go and to docs/dependencies.md. Where a rule must be broken, the exception stands in exceptions_test.go with its
// reason; an exception nothing needs any more is a failure, too. Each rule is itself tested in planted_*_test.go: it must find what is planted.
//
// The rules read source text only, also of files that the build leaves out on this system.
package rules
