// Package needle finds words, in whatever form a program may have left them, in files, raw devices and the memory of a process: tests ask it what remains
// of a person after an erasure.
//
// A word is looked for in every spelling (as written, lower, upper and title case, backwards, and what the caller adds, such as stems), in UTF-8 and
// UTF-16, each in clear, in base64 at its three offsets, in hexadecimal, quoted-printable, percent-encoded, with JSON and HTML escapes, also where a
// line break divides it; and of what can be guessed, such as an address, in the unsalted digests of it. Members of gzip, Zstandard and S2 are unpacked
// wherever they begin and searched as well.
//
// What is not found is not proven absent: encrypted, or packed by other means, a word is invisible here. Every test therefore plants a control of its own.
package needle
