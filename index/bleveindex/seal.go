package bleveindex

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"escrow"
	"escrow/crypto/keytree"
)

const (
	purpose     = "escrow/index-file/v1"
	saltBytes   = 16
	counterSize = 8
	nonceSize   = 12
	tagSize     = 16
	overhead    = counterSize + tagSize // what a sealed chunk has besides its packed content
)

// fileID names the key of one file: the index it belongs to, the leaf whose share is needed, and the salt that makes the key the file's own. It is
// what the engine calls a writer id and keeps in clear at the end of each file.
type fileID struct {
	index string
	leaf  uint32
	salt  [saltBytes]byte
}

// String returns "<index id>.<leaf>.<salt in hex>".
func (id fileID) String() string {
	return id.index + "." + strconv.FormatUint(uint64(id.leaf), 10) + "." + hex.EncodeToString(id.salt[:])
}

func parseFileID(s string) (fileID, error) {
	id := fileID{}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return id, escrow.Errorf("bleveindex.File", escrow.Corrupt, "the file does not say which key it needs")
	}
	leaf, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return id, escrow.Errorf("bleveindex.File", escrow.Corrupt, "the file names its key wrongly: %w", err)
	}
	salt, err := hex.DecodeString(parts[2])
	if err != nil || len(salt) != saltBytes {
		return id, escrow.Errorf("bleveindex.File", escrow.Corrupt, "the file has no well-formed salt")
	}
	id.index, id.leaf = parts[0], uint32(leaf)
	copy(id.salt[:], salt)
	return id, nil
}

// newAEAD derives the cipher of a file: AES-256-GCM under HKDF-SHA-256(share, salt).
func newAEAD(share keytree.Share, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, share[:], salt, purpose, len(share))
	if err != nil {
		return nil, fmt.Errorf("deriving the key: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealer seals the chunks of one file, each packed and then as counter ‖ ciphertext ‖ tag. The counter is the nonce: it begins at 1 and never repeats, because a key
// has one sealer only. The chunks share slabs, for there are dozens a document, and the engine keeps some of them until its file is finished.
type sealer struct {
	id   fileID
	aead cipher.AEAD

	mu      sync.Mutex // a nonce must not depend on how the engine uses goroutines
	counter uint64
	slab    []byte
	packed  []byte // reused
}

func (s *sealer) seal(plain []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counter == math.MaxUint64 {
		panic("internal error: more chunks in a file than nonces")
	}
	s.counter++
	s.packed = pack(s.packed[:0], plain)
	room := s.room(nonceSize + len(s.packed) + tagSize)
	nonce := room[:nonceSize]
	clear(nonce)
	binary.BigEndian.PutUint64(nonce[nonceSize-counterSize:], s.counter)
	return s.aead.Seal(nonce, nonce, s.packed, nil)[nonceSize-counterSize:]
}

// room returns n bytes nobody else uses.
func (s *sealer) room(n int) []byte {
	if n > slabBytes/4 {
		return make([]byte, n)
	}
	if n > len(s.slab) {
		s.slab = make([]byte, slabBytes)
	}
	room := s.slab[:n:n]
	s.slab = s.slab[n:]
	return room
}

// used reports whether anything was sealed.
func (s *sealer) used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counter > 0
}

var errForged = errors.New("a chunk of an index file was changed or replaced: rebuild the index from the ledger")

// open returns the content of a sealed chunk in memory of its own.
func open(aead cipher.AEAD, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead {
		return nil, errForged
	}
	room := make([]byte, nonceSize+len(sealed)-overhead)
	nonce := room[:nonceSize]
	copy(nonce[nonceSize-counterSize:], sealed)
	plain, err := aead.Open(room[nonceSize:nonceSize], nonce, sealed[counterSize:], nil)
	if err != nil {
		return nil, errForged
	}
	return unpack(plain)
}

// sealContents seals a value of the table of contents as nonce ‖ ciphertext ‖ tag. Its key outlives the process, so the nonce is random: 96 bits, for
// about ten values a batch.
func sealContents(aead cipher.AEAD, rand io.Reader, plain []byte) []byte {
	room := make([]byte, nonceSize, nonceSize+len(plain)+tagSize)
	if _, err := io.ReadFull(rand, room); err != nil {
		panic("internal error: no randomness, and the engine takes no error here: " + err.Error())
	}
	return aead.Seal(room, room[:nonceSize], plain, nil)
}

// openContents returns what sealContents sealed.
func openContents(aead cipher.AEAD, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, errForged
	}
	plain, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], nil)
	if err != nil {
		return nil, errForged
	}
	return plain, nil
}
