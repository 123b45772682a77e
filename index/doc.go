// Package index is the language in which the archive is searched: what a message offers to a search (Document), what a person may ask (Query), and
// what comes back (Request, Result). It knows no search engine; index/bleveindex is the one that answers.
//
// The grammar of a query, in which a space between two terms means that both must hold:
//
//	query  = and { "OR" and } .
//	and    = not { [ "AND" ] not } .
//	not    = [ "NOT" | "-" ] term .
//	term   = "(" query ")" | [ field ":" ] ( value | "(" query ")" ) .
//	value  = word | word "*" | word "~" [ "1" | "2" ] | `"` phrase `"` .
//
// Operators are in upper case only, so that "or" and "not" can be searched for. The invariant is that a Query says exactly what will be searched:
// what cannot be answered exactly is an error that names the column, never an approximation, and String writes every query in one normal form that
// parses to the same query. docs/search.md is the reference for people who search.
package index
