package directory

// Used tells the directory that a number was given out once, so that it never is again. A directory rebuilt from the ledger learns this of subjects whose
// identities can no longer be read.
func (d *Directory) Used(leaf uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = max(d.next, uint64(leaf)+1)
}
