package archive

import (
	"sort"

	"escrow"
)

// tags is what the ledger remembers of all records in memory, about 60 bytes each: which deduplication tags it has seen, and where the counters of
// each channel and log stand.
type tags struct {
	once    map[[16]byte]escrow.Seq // the first record with a tag
	streams map[[16]byte]*track
	sources map[[16]byte]*uint64
	events  []escrow.Seq // records that did not come from a log, in order

	// Those of the last record, which are nearly always those of the next.
	stream    *track
	streamTag [16]byte
	source    *uint64
	sourceTag [16]byte
}

func newTags(size uint64) *tags {
	return &tags{once: make(map[[16]byte]escrow.Seq, size), streams: map[[16]byte]*track{}, sources: map[[16]byte]*uint64{}}
}

func (t *tags) add(seq escrow.Seq, r *row) {
	if r.once != [16]byte{} {
		if _, known := t.once[r.once]; !known {
			t.once[r.once] = seq
		}
	}
	if r.stream.Counter != 0 {
		t.track(r.stream.Tag).add(seq, r.stream.Counter)
	}
	if r.source.Seq == 0 {
		t.events = append(t.events, seq)
		return
	}
	last := t.lastSource(r.source.Tag)
	*last = max(*last, r.source.Seq)
}

func (t *tags) track(tag [16]byte) *track {
	if t.stream == nil || t.streamTag != tag {
		t.stream, t.streamTag = t.streams[tag], tag
		if t.stream == nil {
			t.stream = &track{}
			t.streams[tag] = t.stream
		}
	}
	return t.stream
}

func (t *tags) lastSource(tag [16]byte) *uint64 {
	if t.source == nil || t.sourceTag != tag {
		t.source, t.sourceTag = t.sources[tag], tag
		if t.source == nil {
			t.source = new(uint64)
			t.sources[tag] = t.source
		}
	}
	return t.source
}

// track is where the records of one channel are. Counters only grow, nearly always by one, so only the exceptions are stored.
type track struct {
	last  uint64
	seqs  []escrow.Seq // of the records, in order
	jumps []jump       // where the counter did not grow by one; the first is at 0
}

type jump struct {
	at      int    // index in seqs
	counter uint64 // of the record there
}

func (t *track) add(seq escrow.Seq, counter uint64) {
	if len(t.seqs) == 0 || counter != t.last+1 {
		t.jumps = append(t.jumps, jump{len(t.seqs), counter})
	}
	t.seqs = append(t.seqs, seq)
	t.last = counter
}

func (t *track) find(counter uint64) (escrow.Seq, bool) {
	i := sort.Search(len(t.jumps), func(i int) bool { return t.jumps[i].counter > counter }) - 1
	if i < 0 {
		return 0, false
	}
	end := len(t.seqs)
	if i+1 < len(t.jumps) {
		end = t.jumps[i+1].at
	}
	j := t.jumps[i]
	if counter-j.counter >= uint64(end-j.at) {
		return 0, false
	}
	return t.seqs[j.at+int(counter-j.counter)], true
}
