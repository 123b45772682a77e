package bleveindex

import (
	"context"
	"slices"
	"sync"
)

// searchers knows who searches a partition, so that one can wait for those who do now without keeping others from beginning. The zero value has none.
type searchers struct {
	mu      sync.Mutex
	now     *shift
	earlier []*shift // of which some are still there
}

// shift is those who began between two calls of wait.
type shift struct {
	n    int
	over chan struct{} // closed when the last one left and nobody can join any more
}

// enter joins; leave must be called once.
func (s *searchers) enter() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		s.now = &shift{over: make(chan struct{})}
	}
	mine := s.now
	mine.n++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if mine.n--; mine.n > 0 || mine == s.now {
			return
		}
		close(mine.over)
		s.earlier = slices.DeleteFunc(s.earlier, func(e *shift) bool { return e == mine })
	}
}

// wait returns when everybody who entered before it has left, or with the error of ctx.
func (s *searchers) wait(ctx context.Context) error {
	s.mu.Lock()
	if s.now != nil && s.now.n > 0 {
		s.earlier, s.now = append(s.earlier, s.now), nil
	}
	all := slices.Clone(s.earlier)
	s.mu.Unlock()
	for _, e := range all {
		select {
		case <-e.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
