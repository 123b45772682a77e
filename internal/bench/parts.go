package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"escrow"
	"escrow/archive"
	"escrow/crypto/keytree"
	"escrow/internal/vfs"
)

// primitives is what sealing a record cannot do without, and nothing else: compression, derivation of keys, encryption, hashes, and one write with sync
// for each batch. It works on the plaintexts, keys and lengths of real records.
type primitives struct {
	file    vfs.File
	trees   map[keytree.Kind]*keytree.Tree
	enc     *zstd.Encoder
	records []plainRecord
	scratch sync.Pool
}

// plainRecord is a record before it is sealed.
type plainRecord struct {
	context []byte // as long as the record context in a blob
	leaf    []byte // the text of its leaf
	facets  []plainFacet
	blob    int // length when sealed
}

type plainFacet struct {
	plain []byte
	class int // length it is padded to
	slots [][]keytree.Ref
}

// newParts seals some messages, opens them again, and keeps what was inside.
func (b *bench) newParts(ctx context.Context) (*primitives, error) {
	const op = "bench.Parts"
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, escrow.Errorf(op, escrow.Internal, "compression: %w", err)
	}
	p := &primitives{enc: enc, trees: map[keytree.Kind]*keytree.Tree{}}
	for _, kind := range []keytree.Kind{keytree.KindSubject, keytree.KindRetention, keytree.KindMessage} {
		p.trees[kind] = keytree.New(sha256.Sum256([]byte{byte(kind)}))
	}
	opened := len(b.closed)
	t, err := b.found(ctx, "seal-sample")
	if err != nil {
		return nil, err
	}
	l := letters{words: b.words, name: "sample", size: smallBytes, total: b.cfg.Messages}
	if _, err := b.fill(ctx, t, l, min(b.cfg.Messages, sampleMessages), batch); err != nil {
		return nil, err
	}
	err = t.ledger.Scan(ctx, 0, func(rec archive.Record) error { return p.add(t, rec) })
	if closing := b.closeFrom(opened); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	if p.file, err = b.cfg.FS.OpenFile(filepath.Join(b.cfg.Dir, "parts"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, diskError(err)
	}
	return p, nil
}

// add keeps what is inside a record.
func (p *primitives) add(t *tenant, rec archive.Record) error {
	sealed, err := t.sealer.Parse(rec.Blob)
	if err != nil {
		return err
	}
	r := plainRecord{context: make([]byte, 80), leaf: rec.Header.AppendLeaf(nil), blob: len(rec.Blob)}
	for i, info := range sealed.Facets() {
		plain, err := sealed.Open(t.keys, i)
		if err != nil {
			return err
		}
		r.facets = append(r.facets, plainFacet{plain: plain, class: info.PlainLen, slots: info.Slots})
	}
	p.records = append(p.records, r)
	return nil
}

func (p *primitives) close() error {
	if err := p.file.Close(); err != nil {
		return diskError(err)
	}
	return nil
}

// run processes n records in batches.
func (p *primitives) run(ctx context.Context, n int) error {
	if err := p.file.Truncate(0); err != nil {
		return diskError(err)
	}
	at := int64(0)
	for from := 0; from < n; from += batch {
		blobs := make([][]byte, min(batch, n-from))
		err := each(ctx, len(blobs), func(i int) (err error) {
			blobs[i], err = p.record(&p.records[(from+i)%len(p.records)], uint32(from+i))
			return err
		})
		if err != nil {
			return err
		}
		data := make([]byte, 0, len(blobs)*len(blobs[0]))
		for _, blob := range blobs {
			data = append(data, blob...)
		}
		_, err = p.file.WriteAt(data, at)
		if err = errors.Join(err, p.file.Sync()); err != nil {
			return diskError(err)
		}
		at += int64(len(data))
	}
	return nil
}

// record does with one record what must be done.
func (p *primitives) record(r *plainRecord, number uint32) ([]byte, error) {
	blob := make([]byte, 0, r.blob+256)
	known := shares{p: p, number: number}
	for i := range r.facets {
		var err error
		if blob, err = p.facet(blob, r, &r.facets[i], &known); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(blob)
	leaf := sha256.Sum256(r.leaf)
	return append(append(blob, sum[:]...), leaf[:]...), nil
}

func (p *primitives) facet(blob []byte, r *plainRecord, f *plainFacet, known *shares) ([]byte, error) {
	scratch, _ := p.scratch.Get().(*[]byte)
	if scratch == nil {
		scratch = new([]byte)
	}
	defer p.scratch.Put(scratch)
	packed := p.enc.EncodeAll(f.plain, (*scratch)[:0])
	packed = append(packed, make([]byte, max(0, f.class-len(packed)))...)
	*scratch = packed
	hash := sha256.Sum256(r.context)
	dek := hash
	dek[0] ^= byte(known.number)
	keys, err := hkdf.Key(sha256.New, dek[:], nil, string(hash[:]), 64)
	if err != nil {
		return nil, escrow.Errorf("bench.Parts", escrow.Internal, "%w", err)
	}
	if blob, err = encrypt(blob, keys[:32], packed, hash[:]); err != nil {
		return nil, err
	}
	for _, refs := range f.slots {
		if blob, err = known.slot(blob, refs, dek); err != nil {
			return nil, err
		}
	}
	return blob, nil
}

// shares are those of one record, each derived once.
type shares struct {
	p      *primitives
	number uint32 // of the record
	refs   []keytree.Ref
	shares []keytree.Share
}

func (s *shares) share(ref keytree.Ref) (keytree.Share, error) {
	if i := slices.Index(s.refs, ref); i >= 0 {
		return s.shares[i], nil
	}
	leaf := ref.Leaf
	if ref.Kind == keytree.KindMessage {
		leaf = s.number
	}
	share, err := s.p.trees[ref.Kind].Share(leaf)
	s.refs, s.shares = append(s.refs, ref), append(s.shares, share)
	return share, err
}

// slot derives the key of a slot and wraps the data key under it.
func (s *shares) slot(blob []byte, refs []keytree.Ref, dek [32]byte) ([]byte, error) {
	secret := make([]byte, 0, 128)
	for _, ref := range refs {
		share, err := s.share(ref)
		if err != nil {
			return nil, err
		}
		secret = append(secret, share[:]...)
	}
	key, err := hkdf.Key(sha256.New, secret, dek[:16], "slot", 32)
	if err != nil {
		return nil, escrow.Errorf("bench.Parts", escrow.Internal, "%w", err)
	}
	return encrypt(blob, key, dek[:], key)
}

// encrypt appends plain under AES-256-GCM.
func encrypt(b, key, plain, aad []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, escrow.Errorf("bench.Parts", escrow.Internal, "%w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, escrow.Errorf("bench.Parts", escrow.Internal, "%w", err)
	}
	return gcm.Seal(b, nil, plain, aad), nil
}

// writeAll writes n large messages in batches, each with one sync.
func (b *bench) writeAll(n int) (took cost, err error) {
	data := make([]byte, 0, largeBatch*largeBytes)
	for i := range largeBatch {
		data = append(data, letters{words: b.words, name: "w", size: largeBytes}.letter(i)...)
	}
	name := filepath.Join(b.cfg.Dir, "large")
	f, err := b.cfg.FS.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return cost{}, diskError(err)
	}
	defer func() {
		if closing := errors.Join(f.Close(), b.cfg.FS.Remove(name)); closing != nil && err == nil {
			err = diskError(closing)
		}
	}()
	return b.measure(func() error {
		for range n / largeBatch {
			if _, err := f.Write(data); err != nil {
				return diskError(err)
			}
			if err := f.Sync(); err != nil {
				return diskError(err)
			}
		}
		return nil
	})
}
