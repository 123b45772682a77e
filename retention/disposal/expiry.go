package disposal

import (
	"time"

	"escrow/events"
	"escrow/retention"
)

// dueDays returns, for every class there ever was, the days that are over and were not ordered to expire yet. The classes are those the key state has trees
// of, so that one that was taken out of the schedule expires as well.
func (p *Pipeline) dueDays(now time.Time, o Options, r *Report) []events.DayRange {
	if !p.clockHolds(now, o, r) {
		return nil
	}
	classes := p.cfg.Keys.Classes()
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	today := uint32(retention.DayOf(now))
	var due []events.DayRange
	for _, class := range classes {
		if from := p.state.nextDay(p.state.expired[class], today); from < today {
			due = append(due, events.DayRange{Class: class, From: from, To: today - 1})
		}
	}
	return due
}

// beforeTheLog returns what of the days may end while messages wait in the log: they could not be sealed any more for a day that has ended, and nothing behind
// them either. They arrived on days of the log that have not ended, and are kept for MinDays at least.
func (p *Pipeline) beforeTheLog(days []events.DayRange) (safe []events.DayRange) {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	if p.state.ingested == 0 {
		return nil
	}
	for _, d := range days {
		if d.To = min(d.To, p.state.ingested+retention.MinDays-1); d.From <= d.To {
			safe = append(safe, d)
		}
	}
	return safe
}

// nextDay returns the first day not ordered to expire. The first order is of all days since 1970, because a clock that was behind may have let something
// arrive before the archive was founded; it has time until the day of the founding is over.
func (s *projection) nextDay(ordered, today uint32) uint32 {
	if ordered == 0 && today == s.first {
		return today
	}
	return ordered
}

// dueIngestDays returns the days of the log that are over and were not ordered to expire yet.
func (p *Pipeline) dueIngestDays(now time.Time, o Options, r *Report) []events.LeafRange {
	if !p.clockHolds(now, o, r) {
		return nil
	}
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	today := uint32(retention.DayOf(now))
	from := p.state.nextDay(p.state.ingested, today)
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
