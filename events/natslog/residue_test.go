package natslog_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"escrow"
	"escrow/crypto/keystate"
	"escrow/crypto/keytree"
	"escrow/crypto/rootstore"
	"escrow/crypto/rootstore/file"
	"escrow/crypto/seal"
	"escrow/events/natslog"
	"escrow/internal/needle"
	"escrow/internal/vfs"
)

// vault holds the keys of ingest days, as the archive does, and seals with them.
type vault struct {
	gate
	t      *testing.T
	fs     *vfs.Mem
	keys   *keystate.State
	sealer *seal.Sealer
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t, fs: vfs.NewMem()}
	sealer, err := seal.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v.sealer = sealer
	if v.keys, err = keystate.Create(t.Context(), v.fs, "keys", v.config(), []byte("signing key")); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vault) config() keystate.Config {
	v.t.Helper()
	roots, err := file.Open(v.fs, "roots", file.Config{Stripes: 16})
	if err != nil {
		v.t.Fatal(err)
	}
	return keystate.Config{Roots: []rootstore.Store{roots}, Now: clock}
}

// purpose is that of the archive's own log entries.
const purpose = "escrow/log/v1"

func (v *vault) Seal(_ escrow.Tenant, day uint32, aad, plain []byte) ([]byte, error) {
	share, err := v.keys.Share(v.keys.Ref(keytree.KindIngestDay, day))
	if err != nil {
		return nil, err
	}
	return v.sealer.SealOne(share, purpose, aad, plain)
}

// open tries to open an entry with the keys there are.
func (v *vault) open(keys *keystate.State, e natslog.Entry) (string, error) {
	share, err := keys.Share(keys.Ref(keytree.KindIngestDay, e.Day))
	if err != nil {
		return "", err
	}
	plain, err := v.sealer.OpenOne(share, purpose, e.AppendHeader(nil), e.Sealed)
	return string(plain), err
}

// forget destroys the key of a day, and reads the keys back from the disk.
func (v *vault) forget(day uint32) {
	v.t.Helper()
	err := v.keys.Update(func(tx *keystate.Tx) error {
		if n := tx.Puncture(keytree.Ref{Kind: keytree.KindIngestDay, Leaf: day}); n != 1 {
			return fmt.Errorf("%d keys of day %d", n, day)
		}
		return nil
	})
	if err == nil {
		err = v.keys.Close()
	}
	if err == nil {
		v.keys, err = keystate.Open(v.t.Context(), v.fs, "keys", v.config())
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// canary returns the text of message n, which has words that occur nowhere else, and some length.
func canary(n int) string {
	padding := []int{0, 200, 9 << 10, 0, 0, 1200 << 10}[n%6]
	noise := make([]byte, padding)
	if _, err := io.ReadFull(rand.Reader, noise); err != nil {
		panic(err)
	}
	return fmt.Sprintf("message %d quicksilverwombat%dzebra %x", n, n, noise)
}

const canaries = 24 // half of them on each of two days

// moment is a copy of all files as they were at one time.
type moment struct {
	name  string
	files map[string][]byte
}

func (f *fleet) moment(t *testing.T, name string) moment {
	t.Helper()
	m := moment{name, map[string][]byte{}}
	for i, dir := range f.dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // gone meanwhile
			}
			if b, err := os.ReadFile(path); err == nil {
				rel, err := filepath.Rel(dir, path)
				if err != nil {
					return err
				}
				m.files[fmt.Sprintf("server%d/%s", i, filepath.ToSlash(rel))] = b
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(m.files) == 0 {
		t.Fatal("there are no files")
	}
	return m
}

// entries returns every log entry whose bytes are anywhere in the files, by counter.
func (m moment) entries() map[uint64]natslog.Entry {
	found := map[uint64]natslog.Entry{}
	parts := map[[32]byte]map[uint16][]byte{}
	for name, b := range m.files {
		scan(b, found, parts)
		if strings.Contains(name, "/_js_/") && strings.HasSuffix(name, ".blk") {
			for _, unpacked := range raft(b) {
				scan(unpacked, found, parts)
			}
		}
	}
	for digest, p := range parts {
		var whole []byte
		for _, i := range slices.Sorted(maps.Keys(p)) {
			whole = append(whole, p[i]...)
		}
		if e, sum, err := natslog.ParseEntry(whole); err == nil && sum == digest {
			found[e.Counter] = e
		}
	}
	return found
}

// below returns only the files of some directories.
func (m moment) below(dir string) moment {
	some := moment{m.name, map[string][]byte{}}
	for name, b := range m.files {
		if strings.Contains(name, dir) {
			some.files[name] = b
		}
	}
	return some
}

// scan finds entries and parts of entries in raw bytes, by their magic and digest (docs/format/log-entry.md).
func scan(b []byte, found map[uint64]natslog.Entry, parts map[[32]byte]map[uint16][]byte) {
	for at := 0; at+64 < len(b); at++ {
		switch string(b[at : at+4]) {
		case "ESLE":
			head := at + 58 + int(b[at+5])
			if head+4 > len(b) {
				continue
			}
			end := head + 4 + int(binary.BigEndian.Uint32(b[head:])) + sha256.Size
			if end > len(b) || end < at {
				continue
			}
			if e, _, err := natslog.ParseEntry(slices.Clone(b[at:end])); err == nil {
				found[e.Counter] = e
			}
		case "ESLP":
			// The length of a part is not in it; its own digest says where it ends. Parts end with the record they are in, 8 bytes of checksum behind.
			index, digest := binary.BigEndian.Uint16(b[at+5:]), [32]byte(b[at+13:at+45])
			if end := partEnd(b, at); end > 0 {
				if parts[digest] == nil {
					parts[digest] = map[uint16][]byte{}
				}
				parts[digest][index] = slices.Clone(b[at+45 : end])
			}
		}
	}
}

// partEnd finds the digest that ends a part: parts of one entry have the same size, so few lengths are possible.
func partEnd(b []byte, at int) int {
	total, count := int(binary.BigEndian.Uint32(b[at+9:])), int(binary.BigEndian.Uint16(b[at+7:]))
	if count < 2 || total > escrow.MaxImport+1<<20 {
		return 0
	}
	const most = 1<<20 - 4<<10 // of a NATS message
	size := most - 45 - sha256.Size
	for _, n := range []int{size, total - (count-1)*size} {
		if end := at + 45 + n; n > 0 && end+sha256.Size <= len(b) && [32]byte(b[end:end+sha256.Size]) == sha256.Sum256(b[at:end]) {
			return end
		}
	}
	return 0
}

// raft returns the contents of the compressed entries of a replication log, in which a row of headers that repeat cannot be found otherwise.
// The layouts are those of nats-server 2.15: blocks of records, a record an append entry, in it entries, which may be packed with S2.
func raft(b []byte) (out [][]byte) {
	const recordHead, appendHead, compressed, batch, commit = 22, 42, 14, 16, 17
	for len(b) > recordHead+8 {
		length := int(binary.LittleEndian.Uint32(b) &^ (1 << 31))
		if length < recordHead+8 || length > len(b) {
			break
		}
		record := b[recordHead : length-8]
		b = b[length:]
		if len(record) < appendHead {
			continue
		}
		for rest := record[appendHead:]; len(rest) > 5; {
			n := int(binary.LittleEndian.Uint32(rest))
			if n < 1 || n > len(rest)-4 {
				break
			}
			entry := rest[5 : 4+n]
			rest = rest[4+n:]
			if len(entry) > 3 && (entry[0] == batch || entry[0] == commit) {
				id := int(binary.LittleEndian.Uint16(entry[1:]))
				if _, size := binary.Uvarint(entry[min(3+id, len(entry)):]); size > 0 {
					entry = entry[3+id+size:]
				}
			}
			if len(entry) > 1 && entry[0] == compressed {
				if unpacked, err := s2.Decode(nil, entry[1:]); err == nil {
					out = append(out, unpacked)
				}
			}
		}
	}
	return out
}

// snapshot takes a backup of the stream as an operator of NATS would, and returns what is in it.
func (f *fleet) snapshot(t *testing.T) moment {
	t.Helper()
	sub, err := f.client.SubscribeSync(f.client.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	ask, err := json.Marshal(map[string]any{"deliver_subject": sub.Subject})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.client.Request("$JS.API.STREAM.SNAPSHOT."+natslog.StreamName(acme), ask, 20*time.Second)
	if err != nil || strings.Contains(string(answer.Data), `"error"`) {
		t.Fatalf("snapshot: %s, %v", answer.Data, err)
	}
	var packed []byte
	for {
		chunk, err := sub.NextMsg(20 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk.Data) == 0 {
			break
		}
		packed = append(packed, chunk.Data...)
		if chunk.Reply != "" {
			if err := chunk.Respond(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	tar, err := io.ReadAll(s2.NewReader(strings.NewReader(string(packed))))
	if err != nil {
		t.Fatal(err)
	}
	return moment{"stream snapshot", map[string][]byte{"packed": packed, "unpacked": tar}}
}

// served returns the entries that a server gives out which is started on a copy of the files: what whoever has JetStream's key can have.
func (f *fleet) served(t *testing.T, m moment) map[uint64]natslog.Entry {
	t.Helper()
	dir := t.TempDir()
	for name, b := range m.files {
		name, own := strings.CutPrefix(name, "server0/")
		if !own {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := startExternal(t, func(o *server.Options) {
		f.change(o)
		o.StoreDir = strings.TrimSuffix(dir, "/jetstream")
	})
	nc, err := nats.Connect(strings.Replace(e.ns.ClientURL(), "nats://", "nats://ops:pw@", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s, err := stream(t, nc).Stream(t.Context(), natslog.StreamName(acme))
	if err != nil {
		t.Fatal(err)
	}
	return replay(t, s)
}

func replay(t *testing.T, s jetstream.Stream) map[uint64]natslog.Entry {
	t.Helper()
	all := moment{files: map[string][]byte{}}
	info := s.CachedInfo().State
	for seq := info.FirstSeq; seq <= info.LastSeq; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all.files[fmt.Sprint(seq)] = msg.Data
	}
	return all.entries()
}

// TestNothingRemainsInTheLog: whatever JetStream keeps, in its blocks, its replication logs and its snapshots, before and after acknowledgement, purge and
// stop, nothing in it can be opened once the key of the ingest day is destroyed; and nothing in it can be read at any time without keys. The entries of
// the other day go on opening, and all did before: so what is looked for can be found.
func TestNothingRemainsInTheLog(t *testing.T) {
	encrypt := func(cipher server.StoreCipher) func(*server.Options) {
		return func(o *server.Options) {
			o.JetStreamKey, o.JetStreamCipher = "the operator of NATS has this key", cipher
		}
	}
	tests := []struct {
		name  string
		start func(*testing.T) *fleet
	}{
		{"embedded", embedded},
		{"external", func(t *testing.T) *fleet { return cluster(t, 1, nil) }},
		{"encrypted with AES", func(t *testing.T) *fleet { return cluster(t, 1, encrypt(server.AES)) }},
		{"encrypted with ChaCha", func(t *testing.T) *fleet { return cluster(t, 1, encrypt(server.ChaCha)) }},
		{"three replicas", func(t *testing.T) *fleet { return cluster(t, 3, nil) }},
		{"three replicas, encrypted", func(t *testing.T) *fleet { return cluster(t, 3, encrypt(server.AES)) }},
	}
	if testing.Short() { // under the race detector looking through the bytes takes minutes
		tests = tests[:1]
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, v := test.start(t), newVault(t)
			first := uint32(noon.Unix() / 86400)
			moments := f.life(t, v)
			kept, readable := f.readable(t, v, moments), 0
			for name, entries := range kept {
				for counter, e := range entries {
					readable++
					if text, err := v.open(v.keys, e); err != nil || !strings.Contains(text, fmt.Sprintf("quicksilverwombat%dzebra", counter-1)) {
						t.Fatalf("%s: before its key is destroyed, entry %d does not open: %v", name, counter, err)
					}
				}
			}
			v.forget(first)
			gone := 0
			for name, entries := range kept {
				for counter, e := range entries {
					_, err := v.open(v.keys, e)
					if e.Day != first && err != nil {
						t.Errorf("%s: entry %d of the next day does not open: %v", name, counter, err)
					}
					if e.Day == first {
						if gone++; escrow.KindOf(err) != escrow.Erased {
							t.Errorf("%s: entry %d: %v", name, counter, err)
						}
					}
				}
			}
			if gone == 0 || gone == readable {
				t.Errorf("%d of %d copies are gone", gone, readable)
			}
			t.Logf("%d copies of %d entries in %d moments; %d can never be opened again", readable, canaries, len(moments), gone)
			noPlaintext(t, moments)
		})
	}
}

// life takes messages through the log, on two days, and copies its files on the way.
func (f *fleet) life(t *testing.T, v *vault) []moment {
	t.Helper()
	log := openLog(t, f.conn, natslog.LogConfig{Replicas: f.replicas})
	now := noon
	intake, err := natslog.NewIntake(f.conn, map[escrow.Tenant]*natslog.Log{acme: log}, v, natslog.IntakeConfig{Now: func() time.Time { return now }, Importers: []string{""}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- intake.Run(ctx) }()
	waitFor(t, "the intake to listen", intake.Listening)
	publisher, err := f.conn.Publisher(acme, "chat")
	if err != nil {
		t.Fatal(err)
	}
	for n := range canaries {
		if n == canaries/2 {
			now = now.Add(24 * time.Hour)
		}
		if _, err := publisher.Publish(t.Context(), natslog.PublishMsg{Data: []byte(canary(n))}); err != nil {
			t.Fatal(err)
		}
	}
	moments := []moment{f.moment(t, "published")}
	if f.client != nil {
		moments = append(moments, f.snapshot(t))
	}
	last := fetchAll(t, log, canaries)[canaries-1].Seq
	if err := log.Ack(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	moments = append(moments, f.moment(t, "acknowledged"))
	if err := log.Purge(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	moments = append(moments, f.moment(t, "purged"))
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	f.stop()
	return append(moments, f.moment(t, "stopped"))
}

// readable returns the entries each moment gives away, and checks that looking for them finds them where they must be.
func (f *fleet) readable(t *testing.T, v *vault, moments []moment) map[string]map[uint64]natslog.Entry {
	t.Helper()
	kept := map[string]map[uint64]natslog.Entry{}
	for _, m := range moments {
		kept[m.name] = m.entries()
		t.Logf("%s: %d files, %d entries in raw bytes", m.name, len(m.files), len(kept[m.name]))
	}
	if f.replicas > 1 && !f.encrypted {
		if len(moments[0].below("/_js_/").entries()) == 0 { // how many depends on when the servers made their last snapshots
			t.Error("no entry was found in the replication logs")
		}
	}
	if !f.encrypted {
		for name := range kept {
			if len(kept[name]) != canaries && (name == "published" || name == "acknowledged") {
				t.Errorf("%s: %d entries were found, want all %d: this looks for them in the wrong way", name, len(kept[name]), canaries)
			}
		}
		return kept
	}
	for name := range kept {
		if n := len(kept[name]); n > 0 && name != "stream snapshot" {
			t.Errorf("%s: %d entries in raw bytes, although JetStream encrypts", name, n)
		}
	}
	if f.replicas == 1 {
		for _, m := range moments {
			if m.name == "published" || m.name == "acknowledged" {
				kept[m.name+", served"] = f.served(t, m)
				if n := len(kept[m.name+", served"]); n != canaries {
					t.Errorf("%s: a server started on the files gives out %d entries", m.name, n)
				}
			}
		}
	}
	return kept
}

// noPlaintext looks for the words of all messages in all files of all moments.
func noPlaintext(t *testing.T, moments []moment) {
	t.Helper()
	var words []needle.Word
	for n := range canaries {
		words = append(words, needle.Word{Name: fmt.Sprint(n), Text: fmt.Sprintf("quicksilverwombat%dzebra", n)})
	}
	set, err := needle.New(words...)
	if err != nil {
		t.Fatal(err)
	}
	look := func(name string, b []byte) int {
		r, err := set.Scan(name, strings.NewReader(string(b)), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range r.Hits {
			if name != "control" {
				t.Errorf("in clear: %s", hit)
			}
		}
		return r.Found
	}
	if look("control", []byte("here is quicksilverwombat3zebra")) != 1 {
		t.Error("what is looked for cannot be found")
	}
	for _, m := range moments {
		for name, b := range m.files {
			look(m.name+": "+name, b)
		}
	}
}
