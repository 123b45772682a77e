package directory

// Used tells the directory that a number was given out once, so that it never is again. A directory rebuilt from the ledger learns this of subjects whose
// identities can no longer be read.
func (d *Directory) Used(leaf uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = max(d.next, uint64(leaf)+1)
}

// Next returns the number the next new subject gets; 2³² when all are given out.
func (d *Directory) Next() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.next
}
