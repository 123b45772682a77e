// Package testdata holds synthetic messages for tests and the demonstration: mails, mboxes, chats and text messages of an investment adviser that
// does not exist, in twelve languages. README.md tells their story; manifest.json says how many there are and what searches must find.
package testdata

import "embed"

// Files holds the messages and manifest.json. In the Maildir "!" stands for the ":" that file names of modules cannot have.
//
//go:embed all:mail chat sms mbox manifest.json
var Files embed.FS
