package vfs

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// sectorBytes is the unit a disk writes whole or not at all.
const sectorBytes = 512

// Clone returns an independent copy of what programs see now, all of it durable, with no locks held.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fresh(m.names, func(n *node) []byte { return bytes.Clone(n.data) })
}

// CrashClone returns one of the file systems that may be found after a power cut now, chosen by rng: for each file any part of the writes since
// its last Sync, in units of sectors, each lost, kept or, where it made the file longer, left as zeros; for each directory the name changes since
// its last SyncDir up to some point. No locks are held. The receiver is unchanged, so that many crashes of one moment can be tried.
func (m *Mem) CrashClone(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	mood := rng.IntN(6) // often all or nothing: these find the most
	names := maps.Clone(m.durable)
	cut := map[string]bool{} // directories whose further changes are lost, as a journal keeps their order
	for _, op := range m.pending {
		if mood == 0 || mood > 1 && rng.IntN(4) == 0 {
			cut[op.dir] = true
		}
		if !cut[op.dir] && reachable(names, op) {
			op.apply(names)
		}
	}
	// A name may have become durable in a directory that did not.
	for name := range names {
		for dir := filepath.Dir(name); !isRoot(dir); dir = filepath.Dir(dir) {
			if names[dir] == nil {
				delete(names, name)
			}
		}
	}
	crashed := map[*node][]byte{}
	for _, name := range slices.Sorted(maps.Keys(names)) { // sorted, so that a seed means one thing
		if n := names[name]; crashed[n] == nil {
			crashed[n] = n.crash(rng, mood)
		}
	}
	return fresh(names, func(n *node) []byte { return bytes.Clone(crashed[n]) })
}

// reachable says whether op can be replayed: what it renames must have reached the disk.
func reachable(names map[string]*node, op nameOp) bool {
	return op.from == "" || op.to == "" || names[op.from] == op.node
}

func fresh(names map[string]*node, content func(*node) []byte) *Mem {
	m := NewMem()
	copies := map[*node]*node{}
	for name, n := range names {
		c := copies[n]
		if c == nil {
			data := content(n)
			c = &node{dir: n.dir, mode: n.mode, data: data, disk: bytes.Clone(data)}
			copies[n] = c
		}
		m.names[name] = c
		m.durable[name] = c
	}
	return m
}

func (n *node) crash(rng *rand.Rand, mood int) []byte {
	disk := bytes.Clone(n.disk)
	for _, op := range n.pending {
		switch {
		case mood == 0:
		case mood == 1:
			disk = op.apply(disk)
		case op.data == nil:
			if rng.IntN(2) == 0 {
				disk = op.apply(disk)
			}
		default:
			disk = op.tear(disk, rng)
		}
	}
	return disk
}

// tear applies some of the sectors of a write.
func (op writeOp) tear(disk []byte, rng *rand.Rand) []byte {
	mode := rng.IntN(5)
	if mode == 3 { // the size reached the disk, the data only in places
		if grow := op.off + int64(len(op.data)) - int64(len(disk)); grow > 0 {
			disk = append(disk, make([]byte, grow)...)
		}
	}
	torn := rng.Int64N(int64(len(op.data)) + 1)
	for at := int64(0); at < int64(len(op.data)); {
		end := min(((op.off+at)/sectorBytes+1)*sectorBytes-op.off, int64(len(op.data)))
		keep := mode == 1 || mode == 2 && end <= torn || mode >= 3 && rng.IntN(2) == 0
		if keep {
			disk = writeOp{off: op.off + at, data: op.data[at:end]}.apply(disk)
		}
		at = end
	}
	return disk
}
