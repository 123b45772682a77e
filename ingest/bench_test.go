package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"escrow/ingest"
)

// plainMail is a mail of one text part of about size bytes.
func plainMail(size int) []byte {
	const head = "Received: from mx.example.org (mx.example.org [192.0.2.1]) by in.example.net with ESMTPS id 123\r\n\tfor <bo@example.net>; Mon, 2 Mar 2026 10:11:12 +0100\r\n" +
		"Date: Mon, 2 Mar 2026 10:11:10 +0100\r\nFrom: =?utf-8?q?Ana_D=C3=ADaz?= <ana@example.org>\r\nTo: \"Bo Lindqvist\" <bo@example.net>, cy@example.com\r\n" +
		"Subject: Quarterly figures\r\nMessage-ID: <1@example.org>\r\nReferences: <0@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\n"
	const line = "The figures for the third quarter are in the attached table, as discussed.\r\n"
	return []byte(head + strings.Repeat(line, max(1, (size-len(head))/len(line))))
}

// alternativeMail says the same in text and HTML.
func alternativeMail(size int) []byte {
	var text, html strings.Builder
	for i := 0; text.Len()+html.Len() < size; i++ {
		fmt.Fprintf(&text, "Line %d of the minutes, which says something.\r\n", i)
		fmt.Fprintf(&html, "<div class=3D\"l\"><p>Line %d of the minutes, which says <b>something</b>.</p></div>=\r\n", i)
	}
	return []byte("From: ana@example.org\r\nTo: bo@example.net\r\nSubject: Minutes\r\nDate: Mon, 2 Mar 2026 10:11:10 +0100\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/alternative; boundary=\"b1\"\r\n\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.String() +
		"\r\n--b1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + html.String() + "\r\n--b1--\r\n")
}

func BenchmarkParseMail(b *testing.B) {
	for _, bm := range []struct {
		name string
		raw  []byte
	}{{"plain 2k", plainMail(2 << 10)}, {"plain 4k", plainMail(4 << 10)}, {"plain 64k", plainMail(64 << 10)}, {"alternative 16k", alternativeMail(16 << 10)}} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.raw)))
			b.ReportAllocs()
			for b.Loop() {
				ingest.ParseMail(bm.raw)
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	raw := plainMail(4 << 10)
	m := ingest.ParseMail(raw)
	b.ReportAllocs()
	for b.Loop() {
		ingest.Split(ingest.TypeMail, raw, m)
	}
}

func BenchmarkParseContract(b *testing.B) {
	raw := []byte(`{"id":"m1","conversation":"c1","sent_at":"2026-03-02T10:11:12Z","from":{"id":"user:ana","name":"Ana Díaz"},"to":[{"id":"user:bo"}],"body":{"text":"` +
		strings.Repeat("word ", 30) + `"}}`)
	m, err := ingest.ParseContract(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ingest.ParseContract(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("split", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ingest.Split(ingest.TypeJSON, raw, m)
		}
	})
}

// BenchmarkCorpora reads real mails, all of a corpus in each round.
func BenchmarkCorpora(b *testing.B) {
	for _, corpus := range mailCorpora {
		b.Run(corpus, func(b *testing.B) {
			var mails [][]byte
			size := 0
			eachCorpusMail(b, corpus, func(_ string, raw []byte) {
				mails, size = append(mails, raw), size+len(raw)
			})
			b.SetBytes(int64(size))
			for b.Loop() {
				for _, raw := range mails {
					ingest.ParseMail(raw)
				}
			}
		})
	}
}
