package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"escrow"
	"escrow/archive"
	"escrow/archive/backup"
	"escrow/crypto/keystate"
	"escrow/crypto/sign"
	"escrow/events"
	"escrow/events/chronicle"
	"escrow/internal/vfs"

	"github.com/spf13/cobra"
)

const restoreHelp = `Makes an archive out of a backup, in a data directory that is empty or does not exist:

  escrow restore --from ARCHIVE --keys KEYS --data NEW [--roots DIR] [--checkpoint FILE…]

Everything is compared with its digest and the whole ledger is verified. Then the archive opens sealed: every erasure in the ledger is repeated on the keys
before anything can be read, and a ledger or keys that are older than what the root stores or the kept checkpoints know are refused. The search index is
built anew. A restore that was interrupted is repeated with the same command; until it is complete the directory is no archive.

Once an archive is restored, never open the directory it was in before: it is refused only when its ledger is shorter than the root stores remember, and
until then the two would write two histories. To see whether a backup would do, use --rehearse: it copies and checks everything and opens the keys, then
stops, so that the archive in use notices nothing.

The roots of the keys are in no backup. Where they lie in files, --roots is the folder that has them; it is used where it is, and written into the
configuration. Step by step: docs/backup.md.`

// restoreOptions are the flags of the command.
type restoreOptions struct {
	from, keys, roots string
	kept              []string // checkpoints kept elsewhere, signed
	acceptLoss        bool
	rehearse          bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	var files []string
	c := &cobra.Command{Use: "restore --from DIR --keys DIR", Short: "Make an archive out of a backup", Long: restoreHelp, Args: args(0, 0, "flags only")}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "directory with the backup of the archive")
	f.StringVar(&o.keys, "keys", "", "directory with the backup of the keys")
	f.StringVar(&o.roots, "roots", "", "folder with the files of the roots, where the root store is one in files")
	f.StringArrayVar(&files, "checkpoint", nil, "file with a signed checkpoint that was kept elsewhere; may be repeated")
	f.BoolVar(&o.acceptLoss, "accept-loss", false, "restore although newer records are known to be lost, and record that in the ledger for ever")
	f.BoolVar(&o.rehearse, "rehearse", false, "copy and check everything, but leave the archive closed and its root stores as they are")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if o.from == "" || o.keys == "" {
			return usage("--from and --keys are needed (see %s --help)", c.CommandPath())
		}
		if err := absolute(&o.from, &o.keys, &o.roots); err != nil {
			return err
		}
		if o.kept, err = a.keptCheckpoints(files); err != nil {
			return err
		}
		answer, err := a.restore(c.Context(), o)
		if err != nil {
			return err
		}
		return a.print(answer, func(w io.Writer) error { return printRestored(w, answer) })
	}
	return c
}

// restored is what restore says.
type restored struct {
	Data    string           `json:"data"`
	Number  uint64           `json:"number"` // of the backup
	Time    time.Time        `json:"time"`
	Digest  string           `json:"digest"` // SHA-256 of its manifest
	Bytes   int64            `json:"bytes"`
	Closed  bool             `json:"rehearsed,omitempty"` // checked, and not made an archive
	Tenants []restoredTenant `json:"tenants"`
}

// restoredTenant is a tenant behind the gate.
type restoredTenant struct {
	Tenant     escrow.Tenant       `json:"tenant"`
	Backed     escrow.TreeSize     `json:"backed_up"` // records in the backup
	Records    escrow.TreeSize     `json:"records"`   // with those the gate and its erasures added
	Checkpoint string              `json:"checkpoint"`
	Key        string              `json:"key"`
	Stale      bool                `json:"keys_were_older"` // keys were destroyed after the backup; the erasures are repeated
	Lost       *events.RecordsLost `json:"lost,omitempty"`
}

func printRestored(w io.Writer, r restored) error {
	what := "is restored"
	if r.Closed {
		what = "could be restored, which was rehearsed"
	}
	fmt.Fprintf(w, "backup %d of %s %s in %s: %.1f MB, every digest and the whole ledger verified (manifest sha256 %s)\n",
		r.Number, r.Time.Format(time.RFC3339), what, r.Data, float64(r.Bytes)/1e6, r.Digest)
	for _, t := range r.Tenants {
		fmt.Fprintf(w, "tenant     %s: %d records", t.Tenant, t.Backed)
		if !r.Closed {
			fmt.Fprintf(w, ", now %d; every erasure among them is carried out", t.Records)
		}
		fmt.Fprintln(w)
		if t.Stale {
			fmt.Fprintln(w, "           the keys changed after the backup; what the ledger says of that is repeated on them")
		}
		if t.Lost != nil {
			fmt.Fprintf(w, "           LOST: records %d to %d at least; record %d says so for ever\n", t.Lost.Has, t.Lost.Had-1, t.Lost.Has)
		}
		fmt.Fprintf(w, "           verifier %s\n", t.Key)
	}
	if r.Closed {
		_, err := fmt.Fprintf(w, "%s is no archive and can be removed\n", r.Data)
		return err
	}
	_, err := fmt.Fprintln(w, "ask the platforms to publish again what they published since; what is archived already is recognised")
	return err
}

// restore puts a backup in the data directory, checks it, and goes with it through the gate.
func (a *app) restore(ctx context.Context, o restoreOptions) (restored, error) {
	b, err := backup.Open(a.fs, o.from)
	if err != nil {
		return restored{}, err
	}
	r := &restoring{app: a, opt: o, backup: b, answer: restored{Data: a.dir, Number: b.Manifest.Number, Time: b.Manifest.Time, Digest: b.Digest, Bytes: b.Bytes()}}
	if err := r.place(ctx); err != nil || o.rehearse {
		return r.answer, err
	}
	// From here on the directory is an archive, and every opening of it goes through the gate first.
	n, err := a.openNode(ctx, nodeOptions{})
	if err != nil {
		return restored{}, escrow.Errorf("escrow", escrow.KindOf(err), "everything is restored in %s, but it stays sealed: %w", a.dir, err)
	}
	for _, t := range n.tenants {
		if err == nil {
			err = t.Disposal.TakeOver(ctx)
		}
		if err == nil && t.Indexer != nil { // nothing is indexed of a tenant that was erased as a whole
			err = t.Indexer.Follow(ctx, t.Ledger.Size())
		}
	}
	for i := range r.answer.Tenants {
		out := &r.answer.Tenants[i]
		t := n.api.Tenants[out.Tenant]
		out.Records, out.Checkpoint = t.Ledger.Size(), string(t.Ledger.Checkpoint())
	}
	return r.answer, errors.Join(err, n.close())
}

// restoring is one restore under way.
type restoring struct {
	app    *app
	opt    restoreOptions
	backup *backup.Backup
	cfg    config
	answer restored
}

// place copies everything, checks it, and makes the directory an archive.
func (r *restoring) place(ctx context.Context) error {
	a := r.app
	content, err := r.configure()
	if err != nil {
		return err
	}
	into := a.dir
	if err := absolute(&into); err != nil {
		return err
	}
	if err := r.backup.Fits(into); err != nil {
		return err
	}
	if err := a.fs.MkdirAll(a.dir, 0o700); err != nil {
		return escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", a.dir, err)
	}
	lock, err := a.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := r.backup.Restore(ctx, a.dir, content, a.progress("copied")); err != nil {
		return err
	}
	for name := range r.cfg.Tenants {
		if err := r.tenant(ctx, name); err != nil {
			return escrow.Errorf("escrow", escrow.KindOf(err), "tenant %s: %w", name, err)
		}
	}
	if err := r.unused(); err != nil {
		return err
	}
	if r.opt.rehearse {
		r.answer.Closed = true
		return nil
	}
	return backup.Complete(a.fs, a.dir)
}

// configure returns the configuration the restored archive gets: that of the backup, with roots where they are now.
func (r *restoring) configure() (content []byte, err error) {
	if content, err = r.backup.Config(); err != nil {
		return nil, err
	}
	if r.cfg, err = parseConfig(backup.ConfigFile+" in the backup", content); err != nil || r.opt.roots == "" {
		return content, err
	}
	moved := 0
	for _, p := range r.cfg.rootStores() {
		if p.kind == kindFile {
			moved++
		}
	}
	if moved == 0 {
		return nil, usage("--roots is for root stores in files, and %s has none; the others are reached as the configuration says", backup.ConfigFile)
	}
	if content, err = r.cfg.withRoots(r.opt.roots); err != nil {
		return nil, err
	}
	r.cfg, err = parseConfig(backup.ConfigFile, content)
	return content, err
}

// withRoots returns the configuration with the root stores in files moved to a folder.
func (c config) withRoots(dir string) ([]byte, error) {
	var stores []*provided
	for _, p := range c.rootStores() {
		if f, ok := p.settings.(*fileRoots); ok {
			b, err := json.Marshal(struct {
				Kind string `json:"kind"`
				fileRoots
			}{kindFile, fileRoots{Path: dir, AcceptWeak: f.AcceptWeak}})
			if err != nil {
				return nil, escrow.Errorf("escrow", escrow.Internal, "%w", err)
			}
			p = &provided{raw: b}
		}
		stores = append(stores, p)
	}
	c.Roots = stores
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.Internal, "%w", err)
	}
	return append(b, '\n'), nil
}

// progress returns a function that says on standard error how far something is, from time to time.
func (a *app) progress(what string) func(done, total int64) {
	last := a.now()
	return func(done, total int64) {
		if now := a.now(); now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(a.err, "%s %.1f of %.1f MB\n", what, float64(done)/1e6, float64(total)/1e6)
		}
	}
}

// tenant puts the keys of a tenant in their place, opens them, and checks the ledger with them.
func (r *restoring) tenant(ctx context.Context, name escrow.Tenant) error {
	a := r.app
	part := r.backup.Ledger(name)
	if part == nil {
		return escrow.Errorf("escrow", escrow.Corrupt, "the configuration names it, and the backup does not have it")
	}
	sealed, err := r.backup.Keys(r.opt.keys, name)
	if err != nil {
		return err
	}
	if err := vfs.MkdirAllSync(a.fs, a.keysDir(name), 0o700); err != nil {
		return escrow.Errorf("escrow", escrow.Unavailable, "create %s: %w", a.keysDir(name), err)
	}
	if err := vfs.WriteFileAtomic(a.fs, filepath.Join(a.keysDir(name), "state"), sealed, 0o600); err != nil {
		return err
	}
	keys, err := r.openKeys(ctx, name)
	if err != nil {
		return err
	}
	signer, err := sign.NewSigner(part.Origin, keys.SigningKey())
	if err != nil {
		return errors.Join(err, keys.Close())
	}
	ledger, err := archive.Open(ctx, a.fs, a.ledgerDir(name), a.ledgerConfig(r.cfg, name, signer))
	if err != nil {
		return errors.Join(err, keys.Close())
	}
	check := ledgerCheck{restoring: r, part: part, keys: keys, ledger: ledger}
	return errors.Join(check.run(ctx), ledger.Close(), keys.Close())
}

// openKeys opens the keys with the roots there are, and says what it means when there are none.
func (r *restoring) openKeys(ctx context.Context, name escrow.Tenant) (*keystate.State, error) {
	a := r.app
	for _, p := range r.cfg.rootStores() {
		f, ok := p.settings.(*fileRoots)
		if !ok {
			continue
		}
		path := a.rootsPath(r.cfg, place{name, name}, f)
		if _, err := a.fs.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, escrow.Errorf("escrow", escrow.NotFound, "the roots of the keys are in no backup, and there is no %s; if the file still exists somewhere, put it "+
				"into a folder under the name %s and repeat with --roots and that folder; without roots nothing in this backup can ever be opened", path, r.cfg.rootsName(name))
		}
	}
	cfg, err := a.keysConfig(ctx, r.cfg, place{name, name})
	if err != nil {
		return nil, err
	}
	keys, err := keystate.Open(ctx, a.fs, a.keysDir(name), cfg)
	switch escrow.KindOf(err) {
	case escrow.Erased:
		err = escrow.Errorf("escrow", escrow.Erased, "these keys are too old: the root they are sealed under was destroyed, as it is some days after every destruction of keys, "+
			"and nobody can open them any more; use a newer backup of the keys: %w", err)
	case escrow.Corrupt:
		err = escrow.Errorf("escrow", escrow.Corrupt, "the keys do not open with these roots; are they those of this archive?: %w", err)
	}
	return keys, err
}

// unused refuses a checkpoint that nothing was compared with: whoever gave it thinks it was.
func (r *restoring) unused() error {
	for _, signed := range r.opt.kept {
		known := false
		for name := range r.cfg.Tenants {
			known = known || checkpointOrigin(signed) == r.cfg.origin(name)
		}
		if !known {
			return escrow.Errorf("escrow", escrow.Invalid, "there is a checkpoint of %q, which is no ledger of this archive", checkpointOrigin(signed))
		}
	}
	return nil
}

// checkpointOrigin is the ledger a checkpoint says it is of.
func checkpointOrigin(signed string) string {
	origin, _, _ := strings.Cut(signed, "\n")
	return origin
}

// ledgerCheck compares a restored ledger with everything that knows something of it.
type ledgerCheck struct {
	*restoring
	part   *backup.Ledger
	keys   *keystate.State
	ledger *archive.Ledger
}

func (c *ledgerCheck) run(ctx context.Context) error {
	if size := c.ledger.Size(); size != c.part.Records {
		return escrow.Errorf("escrow", escrow.Forged, "the ledger has %d records, and the backup says %d", size, c.part.Records)
	}
	report, err := c.ledger.Verify(ctx, archive.VerifyOptions{Progress: c.app.progress("verified")})
	if err != nil {
		return err
	}
	if !report.Sound() {
		first := report.Findings[0]
		return escrow.Errorf("escrow", first.Kind, "the ledger does not verify, %d faults were found; use another copy of the backup; first: %s", report.Count, first)
	}
	had, err := c.known()
	if err != nil {
		return err
	}
	out := restoredTenant{Tenant: c.part.Tenant, Backed: c.part.Records, Key: c.part.Key, Stale: c.keys.Stale()}
	if had > c.ledger.Size() {
		if out.Lost, err = c.lose(ctx, had); err != nil {
			return err
		}
	}
	c.answer.Tenants = append(c.answer.Tenants, out)
	return nil
}

// known returns how many records the ledger had at least, by what is kept elsewhere. Another history is refused, and so are keys that know a longer one:
// they have destroyed what this ledger is going to use.
func (c *ledgerCheck) known() (escrow.TreeSize, error) {
	size := c.ledger.Size()
	if own := max(c.keys.Signed(), c.keys.Applied()); own > size {
		return 0, escrow.Errorf("escrow", escrow.Forged, "the keys are newer than the ledger: they know %d records, it has %d; restore both from the same backup, or a newer archive", own, size)
	}
	had := c.keys.Required()
	for _, signed := range c.opt.kept {
		if checkpointOrigin(signed) != c.part.Origin {
			continue
		}
		cp, err := c.ledger.Extends([]byte(signed))
		if err != nil && cp.Size <= size {
			return 0, escrow.Errorf("escrow", escrow.KindOf(err), "a checkpoint kept elsewhere: %w", err)
		}
		had = max(had, cp.Size)
	}
	return had, nil
}

// lose refuses a ledger that is known to have been longer, or records that it was.
func (c *ledgerCheck) lose(ctx context.Context, had escrow.TreeSize) (*events.RecordsLost, error) {
	size := c.ledger.Size()
	if !c.opt.acceptLoss {
		return nil, escrow.Errorf("escrow", escrow.Forged, "this backup of %s has %d records, and there were %d at least: whatever was archived, held and erased after it is not in it. "+
			"Look for a newer backup. If there is none: --accept-loss restores this one and says so in the ledger for ever. Erasures approved before the backup are then carried out by "+
			"themselves, as are retention periods; people whose erasure was requested and carried out after it would be readable again, so have those requests repeated before anybody reads; "+
			"and the platforms must publish again what they published since", c.backup.Manifest.Time.Format(time.RFC3339), size, had)
	}
	lost := events.RecordsLost{Has: size, Had: had, Backup: c.backup.Manifest.Time, Noticed: c.app.now().UTC().Truncate(time.Second)}
	e, err := chronicle.Chronicle{Source: c.part.Origin, Now: c.app.now, Rand: c.app.rand}.Entry(lost)
	if err != nil {
		return nil, err
	}
	return &lost, c.ledger.AppendAt(ctx, size, []archive.Entry{e})
}
