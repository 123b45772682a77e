package bench

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"escrow"
	"escrow/events"
	"escrow/retention/disposal"
)

// erase compares how long it takes until a person with many messages is unreadable with how long it takes for one with few.
func (b *bench) erase(ctx context.Context) ([]Row, error) {
	f, err := b.indexed(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := f.disposal.Advance(ctx, disposal.Options{}); err != nil { // what is due without anybody asking
		return nil, err
	}
	var restricted, purged [2]costs
	var messages [2]int
	person := func(which int, who func(round int) escrow.Identity) side {
		return func(ctx context.Context, round int) (cost, error) {
			e, err := b.erasePerson(ctx, f, who(round))
			restricted[which], purged[which] = append(restricted[which], cost{wall: e.restricted}), append(purged[which], cost{wall: e.purged})
			messages[which] = e.messages
			return cost{wall: e.unreadable}, err
		}
	}
	ours, bare, err := b.duel(ctx, person(0, many), person(1, few))
	if err != nil {
		return nil, err
	}
	row := Row{Name: "erase", Goal: 1.5, Detail: fmt.Sprintf("until keys are destroyed: a person with %d messages beside one with %d; shown to nobody after "+
		"%.3g and %.3g ms, purged from the index after %.3g and %.3g ms", messages[0], messages[1], milliseconds(restricted[0].best().wall),
		milliseconds(restricted[1].best().wall), milliseconds(purged[0].best().wall), milliseconds(purged[1].best().wall))}
	return []Row{row.times(ours, bare)}, nil
}

// erasure is what erasing one person took, from the approval on.
type erasure struct {
	messages                       int
	restricted, unreadable, purged time.Duration
}

func (b *bench) erasePerson(ctx context.Context, f *filled, who escrow.Identity) (erasure, error) {
	leaf, ok := f.directory.Lookup(who.Scoped(channel))
	if !ok {
		return erasure{}, escrow.Errorf("bench.Erase", escrow.Internal, "a person of the run has no messages")
	}
	seqs, err := f.index.SubjectSeqs(ctx, leaf)
	if err != nil {
		return erasure{}, err
	}
	approval, err := f.request(ctx, leaf)
	if err != nil {
		return erasure{}, err
	}
	e := erasure{messages: len(seqs)}
	start := b.cfg.Now()
	if _, err := f.act(ctx, 1, approval); err != nil {
		return e, err
	}
	e.restricted = b.cfg.Now().Sub(start)
	if err := b.carryOut(ctx, f, &e, start); err != nil {
		return e, err
	}
	return e, f.unreadable(seqs)
}

// request records a request for the erasure of a person, and returns the approval to be signed.
func (f *filled) request(ctx context.Context, leaf uint32) (events.ErasureApproved, error) {
	seq, err := f.act(ctx, 0, events.ErasureRequested{Scope: events.ScopePerson, Subjects: []uint32{leaf}, Basis: "art17-1-b"})
	if err != nil {
		return events.ErasureApproved{}, err
	}
	rec, err := f.ledger.Read(seq)
	if err != nil {
		return events.ErasureApproved{}, err
	}
	hash := rec.Header.LeafHash()
	return events.ErasureApproved{Request: seq, Leaf: hex.EncodeToString(hash[:]), Until: f.disposal.Until()}, nil
}

// carryOut carries out what is due and notes when the keys were gone.
func (b *bench) carryOut(ctx context.Context, f *filled, e *erasure, start time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ordered := f.ledger.Size() + 1
	done := make(chan error, 1)
	go func() {
		_, err := f.disposal.Advance(ctx, disposal.Options{})
		if err != nil {
			cancel()
		}
		done <- err
	}()
	waited := f.disposal.WaitApplied(ctx, ordered)
	e.unreadable = b.cfg.Now().Sub(start)
	err := <-done
	e.purged = b.cfg.Now().Sub(start)
	if err == nil {
		err = waited
	}
	return err
}

// unreadable makes sure that records cannot be opened.
func (f *filled) unreadable(seqs []escrow.Seq) error {
	for _, seq := range seqs {
		rec, err := f.ledger.Read(seq)
		if err != nil {
			return err
		}
		if _, err := f.opener.Open(rec); err == nil || escrow.KindOf(err) != escrow.Erased {
			return escrow.Errorf("bench.Erase", escrow.Internal, "record %d of an erased person still opens", seq)
		}
	}
	return nil
}
