package disposal

// Expired returns the first day of a retention class that was not ordered to expire yet, 0 if none was.
func (p *Pipeline) Expired(class uint16) uint32 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.expired[class]
}

// Ingested returns the first day of the log whose entries can still be opened, 0 if no day was ordered to end.
func (p *Pipeline) Ingested() uint32 {
	p.state.mu.RLock()
	defer p.state.mu.RUnlock()
	return p.state.ingested
}
