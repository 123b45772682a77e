package disposal

import (
	"math"
	"time"

	"escrow/crypto/keytree"
	"escrow/events"
	"escrow/retention"
)

// dueDays returns, for every class there ever was, the days that are over and were not ordered to expire yet. The classes are those the key state has trees
// of, so that one that was taken out of the schedule expires as well.
func (p *Pipeline) dueDays(now time.Time, o Options, r *Report) []events.DayRange {
	if !p.clockHolds(now, o, r) {
		return nil
	}
	classes := p.allClasses()
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	today := uint32(retention.DayOf(now))
	var due []events.DayRange
	for _, class := range classes {
		if from := max(p.state.expired[class], p.state.first); from < today {
			due = append(due, events.DayRange{Class: class, From: from, To: today - 1})
		}
	}
	return due
}

// allClasses returns the numbers of the classes the key state has trees of. It looks for all there can be, anew when the number of trees changes. The caller
// holds work.
func (p *Pipeline) allClasses() []uint16 {
	trees := p.cfg.Keys.Trees()
	if trees == p.classTrees {
		return p.classes
	}
	p.classes, p.classTrees = nil, trees
	for n := range 1 << 16 {
		if class := uint16(n); p.hasClass(class) {
			p.classes = append(p.classes, class)
		}
	}
	return p.classes
}

// hasClass reports whether the key state has the tree of a retention class. The last leaf is beyond every day, so that nothing ever destroys it.
func (p *Pipeline) hasClass(class uint16) bool {
	return p.cfg.Keys.Alive(keytree.Ref{Kind: keytree.KindRetention, Tree: class, Leaf: math.MaxUint32})
}

// dueIngestDays returns the days of the log that are over and were not ordered to expire yet.
func (p *Pipeline) dueIngestDays(now time.Time, o Options, r *Report) []events.LeafRange {
	if !p.clockHolds(now, o, r) {
		return nil
	}
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	today := uint32(retention.DayOf(now))
	from := max(p.state.ingested, p.state.first)
	if from+ingestDays > today {
		return nil
	}
	return []events.LeafRange{{From: from, To: today - ingestDays}}
}

// clockHolds reports whether the clock can be believed when it says that days are over: it is not far ahead of the last time it was. A clock that is behind
// makes nothing due, because what it calls over was over before.
func (p *Pipeline) clockHolds(now time.Time, o Options, r *Report) bool {
	p.state.mu.RLock()
	beat := p.state.beat
	p.state.mu.RUnlock()
	ahead := now.Sub(beat)
	if o.ClockIsRight || beat.IsZero() || ahead <= MaxClockJump {
		return true
	}
	r.ClockAhead = ahead
	return false
}
