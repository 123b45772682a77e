package natslog

import (
	"sync"
	"time"

	"escrow"
)

// IntakeStats counts what the intake did since it was created.
type IntakeStats struct {
	Accepted   uint64            `json:"accepted"`    // stored and acknowledged
	Duplicates uint64            `json:"duplicates"`  // acknowledged as stored before
	Refused    map[string]uint64 `json:"refused"`     // by kind of error, as in "invalid", "denied", "unavailable"
	Unanswered uint64            `json:"unanswered"`  // refused without a reply subject, so that nobody was told; part of Refused
	Dropped    uint64            `json:"dropped"`     // lost by the client library before the intake saw them; not acknowledged, so published again
	Waiting    int               `json:"waiting"`     // received and not yet in a batch
	LastCommit time.Time         `json:"last_commit"` // zero before the first
}

// counts is the intake's own count.
type counts struct {
	mu sync.Mutex
	s  IntakeStats
}

func (c *counts) ack(duplicate bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if duplicate {
		c.s.Duplicates++
		return
	}
	c.s.Accepted++
}

func (c *counts) refuse(kind escrow.Kind, answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Refused == nil {
		c.s.Refused = map[string]uint64{}
	}
	c.s.Refused[kind.String()]++
	if !answered {
		c.s.Unanswered++
	}
}

func (c *counts) committed(t time.Time) {
	c.mu.Lock()
	c.s.LastCommit = t
	c.mu.Unlock()
}

func (c *counts) copy() IntakeStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Refused = make(map[string]uint64, len(c.s.Refused))
	for kind, n := range c.s.Refused {
		s.Refused[kind] = n
	}
	return s
}
