package server

import (
	"escrow"
	"escrow/crypto/keytree"
	"escrow/events"
)

// orders are shares whose destruction the ledger orders.
type orders struct {
	tenant   bool
	subjects map[uint32]bool
	holds    map[uint32]bool
	messages []events.SeqRange
	days     map[uint16][]events.DayRange
}

// add takes in one more order.
func (o *orders) add(f events.ErasureExecuted) {
	if o.subjects == nil {
		o.subjects, o.holds, o.days = map[uint32]bool{}, map[uint32]bool{}, map[uint16][]events.DayRange{}
	}
	o.tenant = o.tenant || f.Tenant
	for _, leaf := range f.Subjects {
		o.subjects[leaf] = true
	}
	for _, hold := range f.Holds {
		o.holds[hold] = true
	}
	for _, d := range f.Days {
		o.days[d.Class] = append(o.days[d.Class], d)
	}
	o.messages = append(o.messages, f.Messages...)
}

// cover reports whether the destruction of a share is ordered.
func (o *orders) cover(ref keytree.Ref) bool {
	if o.tenant {
		return true
	}
	switch ref.Kind {
	case keytree.KindSubject:
		return o.subjects[ref.Leaf]
	case keytree.KindHold:
		return o.holds[ref.Leaf]
	case keytree.KindRetention:
		for _, d := range o.days[ref.Tree] {
			if d.From <= ref.Leaf && ref.Leaf <= d.To {
				return true
			}
		}
	case keytree.KindMessage:
		for _, r := range o.messages {
			if r.From <= escrow.Seq(ref.Leaf) && escrow.Seq(ref.Leaf) <= r.To {
				return true
			}
		}
	}
	return false
}
