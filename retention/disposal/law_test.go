package disposal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/retention/disposal"
)

// model says by the law what can be read of a message, without keys. Its people are in the order of the message, the author first.
type model struct {
	policy string
	people []string
	gone   map[string]bool // people, "message" and "day"
	held   bool
}

func (m *model) dead() bool { return m.gone["message"] || m.gone["day"] }

func (m *model) body() bool {
	switch {
	case m.held:
		return true
	case m.dead():
		return false
	case m.policy == "principal":
		return !m.gone[m.people[0]]
	case m.policy == "all-of":
		return !slices.ContainsFunc(m.people, func(p string) bool { return m.gone[p] })
	}
	return slices.ContainsFunc(m.people, func(p string) bool { return !m.gone[p] })
}

func (m *model) read() string {
	var parts []string
	if m.body() {
		parts = append(parts, "body of "+m.people[0])
	}
	for _, p := range m.people {
		if m.held || !m.dead() && !m.gone[p] {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "|")
}

// story is an archive of three messages and what the model says of them.
type story struct {
	*vault
	seqs   []escrow.Seq
	models []*model
	holds  []uint32
	told   []string
}

// begin founds an archive with a message from each to the other and one that ana wrote alone, all due on the next day, some of them held.
func begin(t *testing.T, policy string, held []int) *story {
	s := &story{vault: found(t, settings{}), told: []string{policy, fmt.Sprint("held ", held)}}
	for _, people := range [][]string{{"ana", "bob"}, {"bob", "ana"}, {"ana"}} {
		s.seqs = append(s.seqs, s.put(policy, people...))
		s.models = append(s.models, &model{policy: policy, people: people, gone: map[string]bool{}})
	}
	s.subject("bystander")
	for _, i := range held {
		s.holds = append(s.holds, s.hold(s.seqs[i]))
		s.models[i].held = true
	}
	return s
}

// tell lets something happen, in the archive and in the model.
func (s *story) tell(event string) {
	s.t.Helper()
	s.told = append(s.told, event)
	switch event {
	case "ana", "bob":
		s.request(person(s.subject(event)))
		for _, m := range s.models {
			m.gone[event] = true
		}
	case "message":
		s.request(messages(s.seqs[0]))
		s.models[0].gone[event] = true
	case "day":
		s.move(2 * 24 * time.Hour)
		for _, m := range s.models {
			m.gone[event] = true
		}
	case "release":
		for _, hold := range s.holds {
			s.release(hold)
		}
		for _, m := range s.models {
			m.held = false
		}
	}
	s.advance(disposal.Options{})
	for i, m := range s.models {
		s.want(strings.Join(s.told, ", "), s.seqs[i], m.read())
		if got := s.force(s.seqs[i]); got != m.read() {
			s.t.Errorf("%s: the keys still read %q of message %d, which the law says is %q", strings.Join(s.told, ", "), got, i, m.read())
		}
	}
}

// TestEveryOrderOfErasureExpiryAndHold plays two people, three messages, every policy, every order of their erasure, of one message's and of the end of the
// day, with and without a hold on each message, released never or at any point; after each step what can be read is what the model says. With -short fewer
// of the combinations of holds are played.
func TestEveryOrderOfErasureExpiryAndHold(t *testing.T) {
	holds := [][]int{{}, {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}}
	if testing.Short() {
		holds = [][]int{{}, {0}, {0, 1, 2}}
	}
	for _, policy := range []string{"principal", "all-of", "any-of"} {
		for _, held := range holds {
			t.Run(fmt.Sprint(policy, held), func(t *testing.T) {
				t.Parallel()
				events := []string{"ana", "bob", "message", "day"}
				if len(held) > 0 {
					events = append(events, "release")
				}
				for _, order := range orders(events) {
					s := begin(t, policy, held)
					for _, event := range order {
						s.tell(event)
					}
					s.close()
				}
			})
		}
	}
}

// orders returns every order of the events; the steps before a release say what holds without one.
func orders(events []string) (all [][]string) {
	if len(events) == 0 {
		return [][]string{nil}
	}
	for i, first := range events {
		rest := slices.Concat(events[:i], events[i+1:])
		for _, tail := range orders(rest) {
			all = append(all, append([]string{first}, tail...))
		}
	}
	return all
}
