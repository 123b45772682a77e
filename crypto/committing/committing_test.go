package committing_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"testing"

	"escrow"
	"escrow/crypto/committing"
)

func secret(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func bind(what string) committing.Binding {
	return committing.Binding{Label: "test/v1", Hash: sha256.Sum256([]byte(what))}
}

func TestSealOpen(t *testing.T) {
	for name, plain := range map[string]string{"empty": "", "text": "hello", "long": string(make([]byte, 70_000))} {
		com, body, err := committing.Seal(secret(1), bind("a"), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) != len(plain)+committing.BodyOverhead {
			t.Errorf("%s: a body of %d bytes for %d", name, len(body), len(plain))
		}
		got, err := committing.Open(secret(1), bind("a"), com, body)
		if err != nil || string(got) != plain {
			t.Errorf("%s: Open returned %d bytes, %v", name, len(got), err)
		}
	}
}

func TestOpenRefusesEveryDifference(t *testing.T) {
	with := committing.Binding{Label: "test/v1", Salt: []byte("salt"), Hash: sha256.Sum256([]byte("a"))}
	com, body, err := committing.Seal(secret(1), with, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, key []byte, b committing.Binding, c committing.Commitment, body []byte) {
		t.Helper()
		got, err := committing.Open(key, b, c, body)
		if got != nil || err == nil || escrow.KindOf(err) != escrow.Forged {
			t.Errorf("%s: Open returned %d bytes and %v, want kind forged", name, len(got), err)
		}
	}
	refused("key", secret(2), with, com, body)
	refused("label", secret(1), committing.Binding{Label: "test/v2", Salt: with.Salt, Hash: with.Hash}, com, body)
	refused("salt", secret(1), committing.Binding{Label: "test/v1", Salt: []byte("tlas"), Hash: with.Hash}, com, body)
	refused("hash", secret(1), committing.Binding{Label: "test/v1", Salt: with.Salt, Hash: sha256.Sum256([]byte("b"))}, com, body)
	refused("nothing", secret(1), with, com, nil)
	for i := range com {
		flipped := com
		flipped[i] ^= 1
		refused("commitment", secret(1), with, flipped, body)
	}
	for i := range body {
		flipped := bytes.Clone(body)
		flipped[i] ^= 0x80
		refused("body", secret(1), with, com, flipped)
		refused("shorter body", secret(1), with, com, body[:i])
	}
}

// TestOneCiphertextOfTwoKeysIsRefused plays an insider who knows two secrets and builds one body that AES-256-GCM accepts under both.
func TestOneCiphertextOfTwoKeysIsRefused(t *testing.T) {
	const first, second = "Approved: sell 500 shares today.", "No trade in this stock: closed.."
	with := bind("record 42")
	// What Seal does with each secret, done by hand: the keys and the associated data the insider has to satisfy.
	derive := func(secret []byte) []byte {
		keys, err := committing.Derive(secret, nil, append([]byte(with.Label+"\x00"), with.Hash[:]...), 64)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	keys1, keys2 := derive(secret(1)), derive(secret(2))
	aad := append(with.Hash[:], keys1[32:]...)
	body, err := twoReadings([32]byte(keys1), [32]byte(keys2), aad, []byte(first), []byte(second))
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := committing.Decrypt(keys1[:32], body, aad)
	two, err2 := committing.Decrypt(keys2[:32], body, aad)
	if err1 != nil || err2 != nil || !bytes.HasPrefix(one, []byte(first)) || !bytes.Contains(two, []byte(second)) {
		t.Fatalf("the attack does not work, so its refusal proves nothing: %v, %v", err1, err2)
	}
	com := committing.Commitment(keys1[32:])
	if got, err := committing.Open(secret(1), with, com, body); err != nil || !bytes.HasPrefix(got, []byte(first)) {
		t.Fatalf("the committed reading does not open: %v", err)
	}
	if got, err := committing.Open(secret(2), with, com, body); got != nil || escrow.KindOf(err) != escrow.Forged {
		t.Errorf("the second reading opened: %q, %v", got, err)
	}
}

func TestDeriveAgreesWithTheStandardLibrary(t *testing.T) {
	for _, n := range []uint32{1, 32, 64, 8160} {
		want, err := hkdf.Key(sha256.New, secret(3), []byte("salt"), "info", int(n))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := committing.Derive(secret(3), []byte("salt"), []byte("info"), n); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes differ from crypto/hkdf, error %v", n, err)
		}
	}
	if _, err := committing.Derive(secret(3), nil, nil, 8161); err == nil {
		t.Error("more than 8160 bytes were derived")
	}
}

// FuzzOpen: whoever lacks the secret cannot make a body that opens. The seeds, which can, are sealed anew by every fuzzing process.
func FuzzOpen(f *testing.F) {
	com, body, err := committing.Seal(secret(1), bind("a"), []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(com[:], body)
	f.Add(make([]byte, 32), []byte{})
	f.Fuzz(func(t *testing.T, c, b []byte) {
		if len(c) != 32 {
			return
		}
		if got, err := committing.Open(secret(1), bind("a"), committing.Commitment(c), b); err == nil && string(got) != "hello" {
			t.Errorf("Open returned %x", got)
		}
	})
}
