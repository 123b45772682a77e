package bleveindex

import (
	"cmp"
	"context"
	"iter"
	"runtime"
	"slices"
	"strconv"

	bleve "github.com/blevesearch/bleve_index_api"
	"golang.org/x/sync/errgroup"

	"escrow"
	"escrow/index"
)

// Batch is what Apply changes at once.
type Batch = index.Batch

// Apply indexes a batch. When it returns nil, the batch is searchable, durable, and each document was found in the index. After an error nothing is
// known about the batch except that Position did not advance; applying it again is harmless. A deleted or replaced document leaves every
// result and what is remembered of words at once, its words leave the files with Purge. Errors: Invalid if Position goes back, Unavailable if the disk or the keys refuse, or ctx ends.
func (x *Index) Apply(ctx context.Context, b Batch) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	if b.Position < x.Position() {
		return escrow.Errorf("bleveindex.Apply", escrow.Invalid, "the position must not go back from %d to %d", x.Position(), b.Position)
	}
	months, err := x.split(ctx, b)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(months, func(s *share) bool { return s.change }) {
		defer x.forgetWords()
	}
	for _, m := range months {
		if err := x.applyMonth(ctx, m, b.Position); err != nil {
			return err
		}
	}
	x.mu.Lock()
	before := x.position
	x.position = b.Position
	x.mu.Unlock()
	if err := x.writeState(); err != nil {
		x.mu.Lock()
		x.position = before
		x.mu.Unlock()
		return err
	}
	return nil
}

// share is the part of a batch that concerns one partition.
type share struct {
	p      *partition
	docs   []index.Document
	remove []escrow.Seq // indexed there and to be forgotten
	change bool         // replaces or removes documents
}

// split distributes a batch over the partitions. A document indexed before may have been in another month, and must be removed from there; one whose
// record the index has not reached yet cannot, for its month follows from the ledger.
func (x *Index) split(ctx context.Context, b Batch) ([]*share, error) {
	shares, last := map[string]*share{}, map[escrow.Seq]int{}
	for i, d := range b.Docs {
		last[d.Seq] = i
	}
	for _, seq := range b.Delete {
		delete(last, seq)
	}
	remove := slices.Clone(b.Delete)
	for i, d := range b.Docs {
		if at, ok := last[d.Seq]; !ok || at != i {
			continue
		}
		s := shares[d.Month]
		if s == nil {
			p, err := x.partition(ctx, d.Month)
			if err != nil {
				return nil, err
			}
			s = &share{p: p}
			shares[d.Month] = s
		}
		s.docs = append(s.docs, d)
		if escrow.TreeSize(d.Seq) < x.Position() {
			s.change = true
			remove = append(remove, d.Seq)
		}
	}
	if err := x.splitRemovals(shares, remove); err != nil {
		return nil, err
	}
	list := make([]*share, 0, len(shares))
	for _, s := range shares {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *share) int { return cmp.Compare(a.p.month, b.p.month) })
	return list, nil
}

// splitRemovals finds the partitions that hold the documents.
func (x *Index) splitRemovals(shares map[string]*share, remove []escrow.Seq) error {
	if len(remove) == 0 {
		return nil
	}
	partitions, err := x.all()
	if err != nil {
		return err
	}
	for _, p := range partitions {
		found, err := p.present(remove)
		if err != nil {
			return err
		}
		s := shares[p.month]
		if s != nil { // what is indexed anew there is replaced anyway
			found = slices.DeleteFunc(found, s.replaces())
		}
		if len(found) == 0 {
			continue
		}
		if s == nil {
			s = &share{p: p}
			shares[p.month] = s
		}
		s.remove, s.change = found, true
	}
	return nil
}

// replaces returns whether a document is in the share.
func (s *share) replaces() func(escrow.Seq) bool {
	in := make(map[escrow.Seq]bool, len(s.docs))
	for _, d := range s.docs {
		in[d.Seq] = true
	}
	return func(seq escrow.Seq) bool { return in[seq] }
}

// present returns those of the documents that are in the partition.
func (p *partition) present(seqs []escrow.Seq) ([]escrow.Seq, error) {
	s, err := p.snapshot()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var found []escrow.Seq
	for _, seq := range seqs {
		id, err := s.InternalID(docID(seq))
		if err != nil {
			return nil, escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "looking a document up: %w", err)
		}
		if id != nil {
			found = append(found, seq)
		}
	}
	return found, nil
}

// applyMonth indexes one partition's share: segments are built side by side, then the disk is waited for once, then every document is looked up.
func (x *Index) applyMonth(ctx context.Context, s *share, position escrow.TreeSize) error {
	if s.change {
		s.p.change.Lock()
		defer s.p.change.Unlock()
	}
	s.p.takeFailure() // of a background task; if it persists it comes again
	if err := x.build(ctx, s); err != nil {
		return err
	}
	b := bleve.NewBatch()
	for _, seq := range s.remove {
		b.Delete(docID(seq))
	}
	b.SetInternal(appliedKey, strconv.AppendUint(nil, uint64(position), 10))
	if err := s.p.flush(ctx, b); err != nil {
		return err
	}
	x.mu.Lock()
	s.p.applied = position
	x.mu.Unlock()
	return s.readBack()
}

// build analyses and indexes the documents in chunks, a few at a time, each group joined into one file when it is written.
func (x *Index) build(ctx context.Context, s *share) error {
	for group := range slices.Chunk(slices.Collect(chunks(s.docs)), gatherChunks) {
		if err := x.buildGroup(ctx, s.p, group); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) buildGroup(ctx context.Context, p *partition, group [][]index.Document) error {
	if len(group) > 1 {
		release, err := p.hold()
		if err != nil {
			return err
		}
		defer release()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), maxWorkers))
	for _, chunk := range group {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "indexing: %w", err)
			}
			return x.buildChunk(p, chunk)
		})
	}
	return g.Wait()
}

// hold keeps the engine from writing until release is called. To be sealed a segment must be encoded anew, which joins several into one at no extra
// cost, if the engine finds several. It asks for the seal of its table of contents before it looks for segments the next time, so it is given an empty
// batch to write, and the seal has to wait. Whoever holds waits for nothing but the building of segments.
func (p *partition) hold() (release func(), err error) {
	p.building.Lock()
	if err := p.engine.Batch(bleve.NewBatch()); err != nil {
		p.building.Unlock()
		return nil, escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "indexing: %w", err)
	}
	return p.building.Unlock, nil
}

func (x *Index) buildChunk(p *partition, docs []index.Document) error {
	a, giveBack := x.analyzer()
	defer giveBack()
	b := bleve.NewBatch()
	for _, d := range docs {
		b.Update(a.buildDocument(d))
	}
	if err := p.engine.Batch(b); err != nil {
		return escrow.Errorf("bleveindex.Apply", escrow.Unavailable, "indexing: %w", err)
	}
	return nil
}

// chunks cuts documents into pieces that become one segment each.
func chunks(docs []index.Document) iter.Seq[[]index.Document] {
	return func(yield func([]index.Document) bool) {
		for len(docs) > 0 {
			n, size := 0, 0
			for n < len(docs) && n < chunkDocs && (n == 0 || size+len(docs[n].Body) <= chunkBytes) {
				size += len(docs[n].Body)
				n++
			}
			if !yield(docs[:n]) {
				return
			}
			docs = docs[n:]
		}
	}
}

// readBack makes sure that the index finds what it was given and nothing it was to forget: an index that says done only because a queue was emptied
// is not to be trusted.
func (s *share) readBack() error {
	seqs := make([]escrow.Seq, len(s.docs))
	for i, d := range s.docs {
		seqs[i] = d.Seq
	}
	found, err := s.p.present(append(seqs, s.remove...))
	if err == nil && !slices.Equal(found, seqs) {
		err = escrow.Errorf("bleveindex.Apply", escrow.Internal, "the index does not hold what was written: rebuild it from the ledger")
	}
	return err
}
