package keystate

import "escrow/crypto/keytree"

// Classes returns the numbers of the retention classes there are trees of, ascending: every class there ever was.
func (s *State) Classes() []uint16 {
	c := s.view()
	var numbers []uint16
	for _, id := range c.ids() {
		if id.kind == keytree.KindRetention {
			numbers = append(numbers, id.number)
		}
	}
	return numbers
}
