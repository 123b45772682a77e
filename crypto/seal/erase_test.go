package seal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"escrow"
	"escrow/crypto/keytree"
	"escrow/crypto/seal"
)

// The story of one message about subjects 1 and 2, of retention day 10.
const (
	erase1      = "erase subject 1"
	erase2      = "erase subject 2"
	eraseThis   = "erase the message"
	expire      = "day 10 ends"
	placeHold   = "place a hold"
	releaseHold = "release the hold"
	prolong     = "prolong to day 20"
)

// policies of a body, as the archive offers them.
func policies() map[string][][]keytree.Ref {
	return map[string][][]keytree.Ref{
		"principal": {{subject(1), day(10), message(42)}},
		"all-of":    {{subject(1), subject(2), day(10), message(42)}},
		"any-of":    {{subject(1), day(10), message(42)}, {subject(2), day(10), message(42)}},
	}
}

// model says by the law what must be readable; it knows nothing of keys.
type model struct {
	policy                    string
	gone                      map[string]bool
	held, released, prolonged bool
}

func (m *model) owners() bool {
	switch m.policy {
	case "principal":
		return !m.gone[erase1]
	case "all-of":
		return !m.gone[erase1] && !m.gone[erase2]
	default:
		return !m.gone[erase1] || !m.gone[erase2]
	}
}

// readable: held and not released, or everybody it depends on is there and a retention day has not ended. A prolonged period of an any-of message was
// given to subject 1 only.
func (m *model) readable() bool {
	byHold := m.held && !m.released
	byTerm := m.owners() && !m.gone[eraseThis] && !m.gone[expire]
	byLonger := m.prolonged && !m.gone[eraseThis] && !m.gone[erase1] && (m.policy != "all-of" || !m.gone[erase2])
	return byHold || byTerm || byLonger
}

// story applies events to a message and its keys.
type story struct {
	keys   plainKeys
	sealed *seal.Sealed
}

func (s *story) apply(event string, m *model) error {
	was := m.readable()
	switch event {
	case erase1, erase2, eraseThis, expire:
		ref := map[string]keytree.Ref{erase1: subject(1), erase2: subject(2), eraseThis: message(42), expire: day(10)}[event]
		s.keys[ref] = erased()
		m.gone[event] = true
	case releaseHold:
		s.keys[hold(7)] = erased()
		m.released = true
	case placeHold:
		err := s.add([]keytree.Ref{hold(7)})
		m.held = was && !m.released
		return err
	case prolong:
		refs := []keytree.Ref{subject(1), day(20), message(42)}
		if m.policy == "all-of" {
			refs = append(refs, subject(2))
		}
		err := s.add(refs)
		m.prolonged = was && err == nil
		return err
	}
	return nil
}

func (s *story) add(refs []keytree.Ref) error {
	slot, err := s.sealed.NewSlot(s.keys, 0, refs)
	if err != nil {
		return err
	}
	return s.sealed.AddSlot(0, slot)
}

// TestEveryOrderOfErasureExpiryAndHold plays every order of everything that can happen to a message, under every policy, and compares after each step
// whether it can be read with whether it may.
func TestEveryOrderOfErasureExpiryAndHold(t *testing.T) {
	z := newSealer(t)
	for policy, slots := range policies() {
		blob := mustSeal(t, z, testContext(), body("hello", slots...))
		steps := 0
		var last []string
		permute([]string{erase1, erase2, eraseThis, expire, placeHold, releaseHold, prolong}, func(order []string) {
			st := &story{keys: plainKeys{}, sealed: mustParse(t, z, blob)}
			m := &model{policy: policy, gone: map[string]bool{}}
			for i, event := range order {
				was := m.readable()
				seen := last != nil && slices.Equal(last[:i+1], order[:i+1])
				err := st.apply(event, m)
				if err != nil && (was && !dead(event, order[:i]) || escrow.KindOf(err) != escrow.Erased) {
					t.Fatalf("%s: %s: %v", policy, strings.Join(order[:i+1], ", "), err)
				}
				if seen {
					continue
				}
				steps++
				plain, err := st.sealed.Open(st.keys, 0)
				if got := err == nil; got != m.readable() || got && string(plain) != "hello" || err != nil && escrow.KindOf(err) != escrow.Erased {
					t.Fatalf("%s: %s: readable = %v (%v), should be %v", policy, strings.Join(order[:i+1], ", "), got, err, m.readable())
				}
			}
			last = slices.Clone(order)
		})
		if steps != 13699 { // the sum of 7!/k! for k from 0 to 6
			t.Fatalf("%d steps", steps)
		}
	}
}

// dead reports whether a slot could not be added because of a share that the slot itself names.
func dead(event string, before []string) bool {
	needs := map[string][]string{placeHold: {releaseHold}, prolong: {erase1, erase2, eraseThis}}[event]
	return slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(before, n) })
}

// permute calls fn with every order of items.
func permute(items []string, fn func([]string)) {
	var rec func(int)
	rec = func(n int) {
		if n == len(items) {
			fn(items)
			return
		}
		for i := n; i < len(items); i++ {
			items[n], items[i] = items[i], items[n]
			rec(n + 1)
			items[n], items[i] = items[i], items[n]
		}
	}
	rec(0)
}

// TestIdentitiesDieAlone: the body belongs to the customer, each identity to its own person as well.
func TestIdentitiesDieAlone(t *testing.T) {
	z := newSealer(t)
	facets := []seal.Facet{
		{Kind: seal.FacetBody, Plain: []byte("body"), Slots: [][]keytree.Ref{{subject(1), day(10)}}},
		{Kind: seal.FacetIdentity, Index: 0, Plain: []byte("customer"), Slots: [][]keytree.Ref{{subject(1), day(10)}}},
		{Kind: seal.FacetIdentity, Index: 1, Plain: []byte("agent"), Slots: [][]keytree.Ref{{subject(2), day(10)}}},
		{Kind: seal.FacetMention, Index: 0, Plain: []byte("neighbour"), Slots: [][]keytree.Ref{{subject(1), subject(3), day(10)}}},
	}
	s := mustParse(t, z, mustSeal(t, z, testContext(), facets))
	tests := map[string]struct {
		gone     []keytree.Ref
		readable string
	}{
		"nobody":           {nil, "[body customer agent neighbour]"},
		"the customer":     {[]keytree.Ref{subject(1)}, "[agent]"},
		"the agent":        {[]keytree.Ref{subject(2)}, "[body customer neighbour]"},
		"the neighbour":    {[]keytree.Ref{subject(3)}, "[body customer agent]"},
		"everything":       {[]keytree.Ref{day(10)}, "[]"},
		"another day":      {[]keytree.Ref{day(11)}, "[body customer agent neighbour]"},
		"agent, neighbour": {[]keytree.Ref{subject(2), subject(3)}, "[body customer]"},
	}
	for name, test := range tests {
		keys := plainKeys{}
		for _, ref := range test.gone {
			keys[ref] = erased()
		}
		readable := []string{}
		for i := range facets {
			plain, err := s.Open(keys, i)
			if err != nil {
				wantKind(t, name, err, escrow.Erased)
				continue
			}
			readable = append(readable, string(plain))
		}
		if got := fmt.Sprint(readable); got != test.readable {
			t.Errorf("erased %s: readable is %s, want %s", name, got, test.readable)
		}
	}
}

// TestErasedIsSaidOnlyWhenCertain: a share that cannot be had at the moment is not a share that was destroyed.
func TestErasedIsSaidOnlyWhenCertain(t *testing.T) {
	z := newSealer(t)
	s := mustParse(t, z, mustSeal(t, z, testContext(), body("x", []keytree.Ref{subject(1), day(1)}, []keytree.Ref{subject(2), day(1)})))
	away := escrow.Errorf("test", escrow.Unavailable, "away")
	_, err := s.Open(plainKeys{subject(1): erased(), subject(2): erased()}, 0)
	wantKind(t, "both destroyed", err, escrow.Erased)
	_, err = s.Open(plainKeys{subject(1): erased(), subject(2): away}, 0)
	wantKind(t, "one destroyed, one away", err, escrow.Unavailable)
	_, err = s.Open(plainKeys{subject(1): away, subject(2): erased()}, 0)
	wantKind(t, "one away, one destroyed", err, escrow.Unavailable)
	if _, err := s.Open(plainKeys{subject(1): away}, 0); err != nil {
		t.Errorf("one away, one there: %v", err)
	}
}
