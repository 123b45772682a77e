package keystate

import (
	"sync"

	"escrow/crypto/keytree"
)

// FileLeaves hands out the leaves of index files and derives their shares. Leaves are reserved in blocks, so that a new file seldom rewrites the key state;
// those of a block that are not used before the process ends are lost. It is safe for concurrent use.
type FileLeaves struct {
	state *State

	mu        sync.Mutex
	next, end uint32
}

// fileLeafBlock is how many leaves are reserved at once: a busy index makes some hundred files an hour.
const fileLeafBlock = 4096

// FileLeaves returns a hand-out of the leaves of index files.
func (s *State) FileLeaves() *FileLeaves { return &FileLeaves{state: s} }

// IndexShare returns the share of a leaf, or an error of kind Erased once it was punctured.
func (l *FileLeaves) IndexShare(leaf uint32) (keytree.Share, error) {
	return l.state.Share(l.state.Ref(keytree.KindIndexFile, leaf))
}

// NextIndexLeaf returns a leaf that was never given out and never will be again, also after a crash. Errors are those of Update.
func (l *FileLeaves) NextIndexLeaf() (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == l.end || !l.state.Alive(l.state.Ref(keytree.KindIndexFile, l.next)) { // the tree they were reserved in may be gone
		var first uint32
		err := l.state.Update(func(tx *Tx) (err error) {
			first, err = tx.ReserveIndexLeaves(fileLeafBlock)
			return err
		})
		if err != nil {
			return 0, err
		}
		l.next, l.end = first, first+fileLeafBlock
	}
	l.next++
	return l.next - 1, nil
}
