// Package source reads messages from files and publishes them: mbox in its four variants, Maildir, single mails and folders of mails, and JSON
// lines of the publishing contract, also compressed or packed.
//
// A [Walker] turns paths into a sequence of [Item] values, one message at a time, with the original bytes of each, line ends included. [Run] sends
// a sequence to a [Publisher] and gives a [Report], in which always
//
//	read = new + duplicate + failed
//
// Nothing is left out in silence: what cannot be read is an Item with Err, what is no message is an Item with Ignored. Running the same import
// again finds what is already archived, because a mail is known by the SHA-256 of its bytes and an object of the publishing contract by its id.
//
// # What a file is
//
// With Options.Format "" or "auto", and in this order:
//
//   - gzip and Zstandard, by their first bytes: what is inside decides. Bombs are refused.
//   - tar and ZIP: the entries are read like the files of a folder, and whatever lies in a folder cur or new is taken for a mail. Only an archive
//     named explicitly is opened, none inside another.
//   - a file below cur/ or new/ of a Maildir: a mail, whatever it contains. Below tmp/ it is ignored, its delivery was never completed.
//   - a first line "From ", and a date in it or a header field after it: mbox
//   - a name ending in .jsonl or .ndjson, or a file named explicitly that begins with "{": JSON lines
//   - a mail's header block in the first KiB, or a name ending in .eml, .mail, .rfc822 or .msg (not the binary .msg of Outlook): one mail
//   - else, a file named explicitly is one mail, and a file found in a folder is ignored.
//
// A given format holds for every regular file. Symbolic links, pipes, sockets and devices found in a folder are ignored; folders are read through
// [os.Root], so that nothing outside is reached. Memory is bounded by the largest message, the window of [Run], and the list of names of one folder.
//
// # mbox
//
// A From_ line is a line that begins with "From ". Its form is learnt from the first line of the file: where that has a date, as nearly always, a
// From_ line separates two messages only with a date in it, and
//
//   - the line before is blank, and the next is a header field or there is nothing after it (a blank line or the end of file), or
//   - the line before is not blank, and the next is a header field (writers that forget the blank line).
//
// Without dates a separator needs both the blank line before and the header field after it. Every other From_ line is text. The one blank line that
// ends a message in an mbox belongs to the file, not to the message.
//
// The variants differ in how text lines that look like From_ lines are kept, and are read so:
//
//	mboxo    ">From " may be the writer's quoting or the author's: nothing is changed
//	mboxrd   one ">" is taken from every line of one or more ">" followed by "From "
//	mboxcl   Content-Length gives the length of the body; quoted as mboxrd
//	mboxcl2  Content-Length gives the length of the body; nothing is quoted
//
// A Content-Length is believed when it leads, over at most two line ends, to a From_ line or the end of file. For a stated mboxcl or mboxcl2 a
// message with a wrong length, or none, ends at the next separator. When the variant is not stated, the file is read as mboxcl2 as long as every
// message so far had a true Content-Length; from the first that has not, or from the start, as mboxrd if one of the first 16 MiB's lines begins with
// ">>From ", else as mboxo.
package source
