package disposal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/privacy/certificate"
	"escrow/retention/disposal"
)

// TestCertificates: every request the pipeline finishes and every order it writes can be certified, the statement of a request is the one recorded when it was
// finished, and nothing is finished while an earlier key state still opens what it destroyed, the keys of index files included.
func TestCertificates(t *testing.T) {
	for _, keep := range []time.Duration{0, 2 * dayLong} {
		t.Run(fmt.Sprint("roots kept ", keep), func(t *testing.T) {
			var v *vault
			s := settings{terms: disposal.Terms{CoolingOff: time.Hour, KeepRoots: keep}, certify: func(ctx context.Context, seq escrow.Seq) (string, error) {
				return certificate.Digest(ctx, v.ledger, seq)
			}}
			v = found(t, s)
			held, gone := v.putClass(1, 100, "principal", "ana", "bob"), v.putClass(1, 100, "principal", "ana", "bob")
			hold := v.hold(held)
			v.request(person(v.subject("ana")))
			v.request(messages(gone))
			v.move(2 * time.Hour)
			v.index.dead = []uint32{0, 1}
			v.advance(disposal.Options{})
			v.move(dayLong)
			v.record("dpo", events.HoldReleased{Hold: hold})
			v.request(person(v.subject("bob")))
			for range 6 {
				v.move(dayLong)
				v.index.dead = []uint32{2}
				v.advance(disposal.Options{})
			}
			v.advance(disposal.Options{RootsNow: true})
			v.request(everything())
			v.move(2 * time.Hour)
			v.advance(disposal.Options{})
			v.advance(disposal.Options{RootsNow: true})
			if requests, orders := v.certified(); requests != 4 || orders < 3 {
				t.Errorf("%d requests and %d orders certified", requests, orders)
			}
		})
	}
}

// TestOneCertificateFails: a request that cannot be certified keeps no other from it.
func TestOneCertificateFails(t *testing.T) {
	failing := escrow.Seq(0)
	v := found(t, settings{certify: func(_ context.Context, seq escrow.Seq) (string, error) {
		if seq == failing {
			return "", escrow.Errorf("test", escrow.Forged, "an unsound story")
		}
		return "d1", nil
	}})
	v.putClass(1, 100, "principal", "ana", "bob")
	failing = v.request(person(v.subject("ana")))
	other := v.request(person(v.subject("bob")))
	r, err := v.Advance(ctx(), disposal.Options{})
	wantKind(t, "one fails", err, escrow.Forged, "step certify", fmt.Sprint("request ", failing))
	if !slices.Equal(r.Certified, []escrow.Seq{other}) {
		t.Errorf("certified are %v, want %v", r.Certified, other)
	}
}

// TestClockStepsBack: an order is not written at a time at which what it carries out was not due yet, for no certificate could be made of it.
func TestClockStepsBack(t *testing.T) {
	var v *vault
	back := 0
	s := settings{terms: disposal.Terms{CoolingOff: time.Hour}, certify: func(ctx context.Context, seq escrow.Seq) (string, error) {
		return certificate.Digest(ctx, v.ledger, seq)
	}}
	s.sealed = func(context.Context) (bool, error) {
		if back--; back >= 0 {
			v.move(-time.Minute)
		}
		return true, nil
	}
	v = found(t, s)
	v.putClass(1, 100, "principal", "ana")
	request := v.request(person(v.subject("ana")))
	v.move(time.Hour)
	back = 1
	if r := v.advance(disposal.Options{}); r.Order != nil {
		t.Error("ordered a minute before the cooling-off time is over")
	}
	v.move(time.Minute)
	if r := v.advance(disposal.Options{}); !slices.Equal(r.Certified, []escrow.Seq{request}) {
		t.Errorf("report %+v", r)
	}
}

// TestLatePurge: an index that cannot be purged for a day keeps the keys of its files for a day longer, and the request waits for the roots of that day.
func TestLatePurge(t *testing.T) {
	var v *vault
	s := settings{terms: disposal.Terms{KeepRoots: 2 * dayLong}, certify: func(ctx context.Context, seq escrow.Seq) (string, error) {
		return certificate.Digest(ctx, v.ledger, seq)
	}}
	v = found(t, s)
	v.putClass(1, 100, "principal", "ana", "bob")
	request := v.request(person(v.subject("ana")))
	v.index.fail(escrow.Errorf("test", escrow.Unavailable, "the index is busy"))
	if _, err := v.Advance(ctx(), disposal.Options{}); err == nil {
		t.Fatal("the purge did not fail")
	}
	v.index.fail(nil)
	v.move(dayLong)
	v.index.dead = []uint32{0, 1}
	v.advance(disposal.Options{})
	v.move(dayLong)
	v.advance(disposal.Options{})
	if got := must(v.Case(request))(t).State(); got != disposal.StatePurged {
		t.Errorf("the case is %q while the root of the day between opens the keys of the index files", got)
	}
	v.move(dayLong)
	v.advance(disposal.Options{})
	if got := must(v.Case(request))(t).State(); got != disposal.StateCertified {
		t.Errorf("the case is %q", got)
	}
	v.advance(disposal.Options{RootsNow: true})
	v.certified()
}

// certified builds and verifies a certificate of every request that is finished and of every order.
func (v *vault) certified() (requests, orders int) {
	v.t.Helper()
	signer := must(sign.NewSigner(origin, v.keys.SigningKey()))(v.t)
	build := func(seq escrow.Seq) certificate.Report {
		c, err := certificate.Build(ctx(), v.ledger, seq, signer)
		if err != nil {
			v.t.Fatal(err)
		}
		raw := must(c.MarshalJSON())(v.t)
		if bytes.Contains(raw, []byte("@example.org")) {
			v.t.Errorf("the certificate of record %d holds an address", seq)
		}
		return must(certificate.Verify(raw, signer.VKey()))(v.t)
	}
	check(v.t, v.ledger.ScanEvents(ctx(), 0, func(rec archive.Record) error {
		e, err := chronicle.Read(rec)
		switch f := e.Fact.(type) {
		case events.ErasureCertified:
			requests++
			if r := build(f.Request); r.Digest != f.Digest || !r.Statement.Final {
				v.t.Errorf("request %d: final %v, digest %s, recorded %s", f.Request, r.Statement.Final, r.Digest, f.Digest)
			}
		case events.ErasureExecuted:
			orders++
			if r := build(rec.Seq); !r.Statement.Final {
				v.t.Errorf("order %d: %q pending", rec.Seq, r.Statement.Pending)
			}
		}
		return err
	}))
	return requests, orders
}

// TestLargestRequestFits: the largest request and an order that has it fit into a certificate.
func TestLargestRequestFits(t *testing.T) {
	size := func(ranges int) int {
		f := events.ErasureRequested{Scope: events.ScopeMessage, Messages: slices.Repeat([]events.SeqRange{{From: math.MaxUint32, To: math.MaxUint32}}, ranges)}
		raw := must(events.Marshal(events.Event{Fact: f}))(t)
		return len(must(json.Marshal(string(raw)))(t))
	}
	const other = 4 << 20 // officers and steps
	if n := 2*(size(1001)-size(1))/1000*disposal.MaxNamed + other; n > certificate.MaxBytes {
		t.Errorf("a certificate could have %d bytes, more than %d", n, certificate.MaxBytes)
	}
}
