package disposal

import (
	"context"
	"math"
	"sort"
	"time"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
)

// nextGenerations starts the next tree of subjects and of messages, each quarter in which there were messages and after generationLeaves of either: erasures
// leave holes in a tree that make it larger, and a tree that all are gone from is gone itself. The caller holds work.
func (p *Pipeline) nextGenerations(ctx context.Context) error {
	if p.state.terminated() {
		return nil
	}
	records, people := uint64(p.cfg.Ledger.Size()), p.cfg.Directory.Next()
	firstRecord, firstPerson := p.firstLeaf(keytree.KindMessage), p.firstLeaf(keytree.KindSubject)
	over, err := p.quarterOver(firstRecord)
	if err != nil {
		return err
	}
	next := map[keytree.Kind]uint64{}
	if over || records > firstRecord && records-firstRecord >= generationLeaves {
		next[keytree.KindMessage] = records + generationMargin
	}
	if people > firstPerson && (over || people-firstPerson >= generationLeaves) {
		next[keytree.KindSubject] = people + generationMargin
	}
	for kind, first := range next {
		if first > math.MaxUint32 {
			delete(next, kind)
		}
	}
	if len(next) == 0 {
		return nil
	}
	err = p.cfg.Keys.Update(func(tx *keystate.Tx) error {
		for kind, first := range next {
			tx.StartGeneration(kind, uint32(first))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.commitEpoch(ctx)
}

// firstLeaf returns the first leaf of the newest generation of a kind.
func (p *Pipeline) firstLeaf(kind keytree.Kind) uint64 {
	newest := p.cfg.Keys.Ref(kind, math.MaxUint32).Tree
	return uint64(sort.Search(math.MaxUint32, func(leaf int) bool { return p.cfg.Keys.Ref(kind, uint32(leaf)).Tree == newest }))
}

// quarterOver reports whether the record at which the newest generation began is of an earlier quarter of a year than now.
func (p *Pipeline) quarterOver(first uint64) (bool, error) {
	if first >= uint64(p.cfg.Ledger.Size()) {
		return false, nil
	}
	h, err := p.cfg.Ledger.Header(escrow.Seq(first))
	return err == nil && quarter(p.cfg.Now()) > quarter(h.Time), err
}

// quarter counts the quarters of years.
func quarter(t time.Time) int {
	t = t.UTC()
	return t.Year()*4 + (int(t.Month())-1)/3
}
