package ingest

// Limits on what the readers of raw payloads do, each with its reason. The limits of the publishing contract itself are in package escrow.
const (
	// maxJSONDepth bounds nesting of a JSON payload: the contract needs 3 levels, inside a structured CloudEvent 4; extensions may nest a little.
	maxJSONDepth = 16
	// maxFieldNameShown bounds how much of an unknown field's name an error repeats.
	maxFieldNameShown = 64
	// maxTitleBytes bounds a subject line: longer ones are bodies in the wrong place, and an index keeps titles in memory while sorting.
	maxTitleBytes = 64 << 10
	// maxMediaTypeBytes bounds a media type: RFC 6838 allows 127 characters on either side of the slash.
	maxMediaTypeBytes = 255
	// maxTelDigits is the length of an E.164 number; minTelDigits excludes short codes, which are not E.164.
	maxTelDigits = 15
	minTelDigits = 5

	// maxHeaderBytes bounds the header block of a mail that is read; net/mail would take 30 MiB. What follows is archived but not searched.
	maxHeaderBytes = 1 << 20
	// maxMIMEDepth bounds nesting of multiparts and attached messages: real mail stays below 10, and every level costs stack.
	maxMIMEDepth = 50
	// maxMIMEParts bounds the parts of a mail: 200,000 empty ones fit into a megabyte.
	maxMIMEParts = 5_000
	// maxPreamble is the length up to which text before the first part is taken for the usual "this is a message in MIME format".
	maxPreamble = 300
	// maxDefects bounds the list of defects of one message; a mail of 5,000 broken parts says so once in a while, not 5,000 times.
	maxDefects = 32
	// maxEncodedWord bounds one RFC 2047 word (75 by the standard); some mailers put a whole line into one.
	maxEncodedWord = 16 << 10
	// maxAddressGap bounds how far apart two addresses that only white space separates may stand, so that looking for them stays linear.
	maxAddressGap = 4 << 10
	// maxReferences bounds the ids read from References: a thread's root is the first and its parent the last.
	maxReferences = 1_000
	// maxLinks bounds the link targets kept of an HTML document, and maxLinkBytes each of them: beyond that they are a catalogue, or a tracker.
	maxLinks     = 64
	maxLinkBytes = 256
	// maxDetectBytes bounds the text shown to charset detection, whose cost grows with it.
	maxDetectBytes = 64 << 10
	// maxParameters bounds the parameters of one MIME header field.
	maxParameters = 64

	// maxSplitWork bounds what Split spends, in look-ups and bytes compared, on finding identities outside the address fields, so that a header made of
	// near misses costs a second at most. What is left when it runs out stays with the body.
	maxSplitWork = 20_000_000
	// minNameAnywhere is the length from which a display name is looked for in all fields. Shorter ones ("Al", "To") are cut where an address field
	// shows them to be names.
	minNameAnywhere = 3
)

// MaxCuts bounds the cuts of one message: several for each of 10,000 participants. A result of Split with exactly so many may be incomplete; what it
// leaves out stays with the body.
const MaxCuts = 1 << 16
