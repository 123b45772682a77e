package bench

import (
	"context"
	"fmt"
	"time"

	"escrow"
	"escrow/retention/disposal"
)

// erase compares how long it takes until a person with many messages is unreadable with how long it takes for one with few.
func (b *bench) erase(ctx context.Context) ([]Row, error) {
	f, err := b.indexed(ctx)
	if err != nil {
		return nil, err
	}
	var purged [2]costs
	var messages [2]int
	person := func(which int, who func(round int) escrow.Identity) side {
		return func(ctx context.Context, round int) (cost, error) {
			e, err := b.erasePerson(ctx, f, who(round))
			purged[which], messages[which] = append(purged[which], cost{wall: e.purged}), e.messages
			return cost{wall: e.unreadable}, err
		}
	}
	ours, bare, err := b.duel(ctx, person(0, many), person(1, few))
	if err != nil {
		return nil, err
	}
	row := Row{Name: "erase", Goal: 1.5, Detail: fmt.Sprintf("until unreadable: a person with %d messages beside one with %d; purged from the index after "+
		"%.3g and %.3g ms", messages[0], messages[1], milliseconds(purged[0].best().wall), milliseconds(purged[1].best().wall))}
	return []Row{row.times(ours, bare)}, nil
}

// erasure is what erasing one person took.
type erasure struct {
	messages           int
	unreadable, purged time.Duration
}

func (b *bench) erasePerson(ctx context.Context, f *filled, who escrow.Identity) (erasure, error) {
	const op = "bench.Erase"
	leaf, ok := f.directory.Lookup(who.Scoped(channel))
	if !ok {
		return erasure{}, escrow.Errorf(op, escrow.Internal, "a person of the run has no messages")
	}
	seqs, err := f.index.SubjectSeqs(ctx, leaf)
	if err != nil {
		return erasure{}, err
	}
	e := erasure{messages: len(seqs)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ordered := f.ledger.Size() + 1
	done := make(chan error, 1)
	start := b.cfg.Now()
	go func() {
		_, err := f.disposal.Erase(ctx, disposal.Order{Scope: "person", Subjects: []uint32{leaf}, Basis: "art17-1-b"})
		if err != nil {
			cancel()
		}
		done <- err
	}()
	waited := f.disposal.WaitApplied(ctx, ordered)
	e.unreadable = b.cfg.Now().Sub(start)
	err = <-done
	e.purged = b.cfg.Now().Sub(start)
	if err == nil {
		err = waited
	}
	if err != nil {
		return e, err
	}
	return e, f.unreadable(seqs)
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
