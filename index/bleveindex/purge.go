package bleveindex

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch/mergeplan"
	bleve "github.com/blevesearch/bleve_index_api"

	"escrow"
)

const purgeOp = "bleveindex.Purge"

// anchorID names the document that makes a second segment where there is only one: the engine never rewrites a lone segment. It has no words and
// not the key all messages have, so no query finds it.
const anchorID = "anchor"

// mergeOptions are the engine's own, but with smaller segments.
func mergeOptions() map[string]any {
	o := mergeplan.DefaultMergePlanOptions
	return map[string]any{
		"MaxSegmentsPerTier": o.MaxSegmentsPerTier, "MaxSegmentSize": maxSegmentDocs, "TierGrowth": o.TierGrowth,
		"SegmentsPerMergeTask": o.SegmentsPerMergeTask, "FloorSegmentSize": chunkDocs, "ReclaimDeletesWeight": o.ReclaimDeletesWeight,
	}
}

// purgePlan makes the engine rewrite exactly the segments with deletions, each by itself.
func purgePlan() *mergeplan.MergePlanOptions {
	o := mergeplan.DefaultMergePlanOptions
	o.SegmentsPerMergeTask = 1
	o.MaxSegmentSize = mergeplan.MaxSegmentSizeLimit
	o.CalcBudget = func(int64, int64, *mergeplan.MergePlanOptions) int { return 0 }
	return &o
}

// Purge removes the words of deleted documents from the files: it rewrites exactly the segments with deletions, waits until the new files are durable
// and the old ones gone, and then looks: no segment may hold a deleted document, no replaced file may be on the disk or, where the system tells (Linux),
// still be open or mapped in this process. It returns the leaves of all files that are gone, for the caller to puncture. Searches and indexing of new documents go on meanwhile; deletions wait. After an error
// nothing is lost: what was done stays done, and the leaves are returned by the next Purge. Errors: Unavailable; Internal if what it looked at
// afterwards is not clean.
func (x *Index) Purge(ctx context.Context) (dead []uint32, err error) {
	x.purging.Lock()
	defer x.purging.Unlock()
	partitions, err := x.all()
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if err := p.purge(ctx); err != nil {
			return nil, err
		}
	}
	x.forgetWords()
	return x.deadLeaves(partitions)
}

// Leaves returns the leaves that files of the index use or are about to use, in ascending order. Every other leaf ever given out to this index may be
// punctured, if no Apply or Purge began since.
func (x *Index) Leaves(ctx context.Context) ([]uint32, error) {
	if err := ctx.Err(); err != nil {
		return nil, escrow.Errorf(purgeOp, escrow.Unavailable, "listing: %w", err)
	}
	partitions, err := x.all()
	if err != nil {
		return nil, err
	}
	live, err := x.liveLeaves(partitions)
	return slices.Sorted(maps.Keys(live)), err
}

func (p *partition) purge(ctx context.Context) error {
	p.change.Lock()
	defer p.change.Unlock()
	var replaced []string
	for range purgeRounds {
		if err := p.flush(ctx, bleve.NewBatch()); err != nil {
			return err
		}
		old, segments, err := p.deletions()
		if err != nil {
			return err
		}
		if len(old) == 0 {
			leftover, err := p.leftover()
			if err != nil {
				return err
			}
			if err := p.drain(ctx, slices.Concat(replaced, leftover)); err != nil {
				return err
			}
			return p.verify(replaced)
		}
		replaced = append(replaced, slices.DeleteFunc(old, func(name string) bool { return name == "" })...)
		if segments == 1 {
			if err := p.addAnchor(ctx); err != nil {
				return err
			}
		}
		if err := p.engine.ForceMerge(ctx, purgePlan()); err != nil {
			return escrow.Errorf(purgeOp, escrow.Unavailable, "rewriting segments: %w", err)
		}
		if ctx.Err() != nil {
			return escrow.Errorf(purgeOp, escrow.Unavailable, "rewriting segments: %w", ctx.Err())
		}
	}
	return escrow.Errorf(purgeOp, escrow.Unavailable, "deletions kept arriving; purge again")
}

// addAnchor writes the anchor anew, into a segment of its own.
func (p *partition) addAnchor(ctx context.Context) error {
	b := bleve.NewBatch()
	b.Update(document.NewDocument(anchorID))
	return p.flush(ctx, b)
}

// fileName returns the name of a segment's file, "" if it is in memory still, which flush has made unlikely and the next round will mend.
func fileName(segment any) string {
	if f, ok := segment.(interface{ Path() string }); ok {
		return filepath.Base(f.Path())
	}
	return ""
}

// deletions returns the names of the files that hold deleted documents, and how many segments there are.
func (p *partition) deletions() (old []string, segments int, err error) {
	s, err := p.snapshot()
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, seg := range s.Segments() {
		if d := seg.Deleted(); d != nil && !d.IsEmpty() {
			old = append(old, fileName(seg.Segment()))
		}
	}
	return old, len(s.Segments()), nil
}

// leftover returns the names of segment files that no longer belong to the index, or not yet: the engine merges by itself, and then a file with
// deleted documents is no segment any more and still there.
func (p *partition) leftover() ([]string, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, escrow.Errorf(purgeOp, escrow.Unavailable, "listing files: %w", err)
	}
	in, err := p.segmentFiles()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".zap" && !in[e.Name()] {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// segmentFiles returns the names of the files of the present segments.
func (p *partition) segmentFiles() (in map[string]bool, err error) {
	s, err := p.snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in = map[string]bool{}
	for _, seg := range s.Segments() {
		in[fileName(seg.Segment())] = true
	}
	return in, nil
}

// drain waits until the searches that began before it are over and the engine has removed the replaced files. The engine tidies up when it writes, so
// it is given something to write.
func (p *partition) drain(ctx context.Context, replaced []string) error {
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	if err := p.searches.wait(ctx); err != nil {
		return escrow.Errorf(purgeOp, escrow.Unavailable, "waiting for searches that began before: %w", err)
	}
	replaced, err := p.obsolete(replaced)
	for err == nil && (len(replaced) > 0 || len(heldFiles(p.dir)) > 0) {
		if err := p.flush(ctx, bleve.NewBatch()); err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
		replaced, err = p.obsolete(replaced)
	}
	return err
}

// verify looks at what a purge leaves behind, by the files that held deleted documents when it began. Nothing deletes or replaces documents meanwhile.
func (p *partition) verify(replaced []string) error {
	deleted, _, err := p.deletions()
	if err != nil {
		return err
	}
	left, err := p.obsolete(replaced)
	if err != nil {
		return err
	}
	if len(deleted)+len(left) > 0 {
		return escrow.Errorf(purgeOp, escrow.Internal, "after the purge %d segments hold deleted documents and %d replaced files are left: rebuild the index from the ledger",
			len(deleted), len(left))
	}
	return nil
}

// obsolete returns those of the files that are on the disk and belong to no segment: one that was being written may have become one.
func (p *partition) obsolete(names []string) ([]string, error) {
	in, err := p.segmentFiles()
	return slices.DeleteFunc(names, func(name string) bool { return in[name] || !p.onDisk(filepath.Join(p.dir, name)) }), err
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return escrow.Errorf(purgeOp, escrow.Unavailable, "waiting for files to be removed: %w", ctx.Err())
	}
}

// deadLeaves returns and forgets the leaves no file needs any more. A leaf given out meanwhile is not among them: those known are listed first.
func (x *Index) deadLeaves(partitions []*partition) ([]uint32, error) {
	known := x.keys.met()
	live, err := x.liveLeaves(partitions)
	if err != nil {
		return nil, err
	}
	dead := slices.DeleteFunc(known, func(leaf uint32) bool { return live[leaf] })
	x.keys.forget(dead)
	return dead, nil
}

func (x *Index) liveLeaves(partitions []*partition) (map[uint32]bool, error) {
	live := map[uint32]bool{}
	for _, p := range partitions {
		for _, leaf := range p.beingWritten() {
			live[leaf] = true
		}
		ids, err := p.engine.FileWriterIDsInUse()
		if err != nil {
			return nil, escrow.Errorf(purgeOp, escrow.Unavailable, "listing files in use: %w", err)
		}
		for id := range ids {
			if id == "" {
				continue // a segment in memory
			}
			f, err := parseFileID(id)
			if err != nil {
				return nil, err
			}
			live[f.leaf] = true
		}
	}
	return live, nil
}

// beingWritten returns the leaves of files that exist, or will in a moment, whether the engine refers to them already or not.
func (p *partition) beingWritten() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var leaves []uint32
	for path, s := range p.files {
		if s.used() && !p.onDisk(path) {
			delete(p.files, path)
			continue
		}
		leaves = append(leaves, s.id.leaf)
	}
	if p.contents != nil {
		leaves = append(leaves, p.contents.leaf)
	}
	return leaves
}

// onDisk reports whether a file exists; the engine keeps its files on the real file system.
func (p *partition) onDisk(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
