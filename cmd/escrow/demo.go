package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"escrow"
	"escrow/archive"
	"escrow/events/natslog"
	"escrow/ingest/source"
	"escrow/server"
	"escrow/testdata"

	"github.com/spf13/cobra"
)

const demoHelp = `Tells the whole story on synthetic messages in twelve languages, in a temporary directory that is removed afterwards: a platform publishes,
everything is sealed, found, proven, one client is erased by two officers while a lawyer holds two of her messages, a certificate says so, and the archive
still verifies. It needs no network and leaves nothing behind.`

func (a *app) demoCommand() *cobra.Command {
	c := &cobra.Command{Use: "demo", Short: "Tell the whole story in a minute", Long: demoHelp, Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := os.MkdirTemp("", "escrow-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		inner := *a
		inner.dir, inner.tenant = filepath.Join(dir, "data"), ""
		d := &demo{app: &inner, cmd: c, files: filepath.Join(dir, "messages")}
		return d.run(c.Context())
	}
	return c
}

// demo is the story and what its steps pass on.
type demo struct {
	app      *app
	cmd      *cobra.Command
	files    string
	manifest manifest
	node     *node
	erased   escrow.Seq   // a message of the person erased
	held     []escrow.Seq // two others of hers, under a hold
	request  escrow.Seq   // for her erasure
}

// manifest is what the demo needs of testdata/manifest.json.
type manifest struct {
	Files []struct {
		Path     string `json:"path"`
		Format   string `json:"format"`
		Messages int    `json:"messages"`
	} `json:"files"`
	Messages struct {
		Total int `json:"total"`
	} `json:"messages"`
	Erase struct {
		Name       string            `json:"name"`
		Identities []escrow.Identity `json:"identities"`
		Words      []string          `json:"words"`
	} `json:"erase"`
	Expectations []expectation `json:"expectations"`
}

// expectation is a query and how many messages it must find.
type expectation struct {
	Query    string `json:"query"`
	Language string `json:"language"`
	Total    uint64 `json:"total"`
}

// step is one line of the story.
type step struct {
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Millis int64  `json:"ms"`
	Detail string `json:"detail"`
}

func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		if d.node != nil {
			if cerr := d.node.close(); err == nil {
				err = cerr
			}
		}
	}()
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"init", d.init}, {"publish", d.publish}, {"import", d.imports}, {"seal", d.seal}, {"search", d.search}, {"prove", d.prove},
		{"officers", d.officers}, {"hold", d.hold}, {"request", d.ask}, {"approve", d.approve}, {"erase", d.erase}, {"forget", d.forgotten},
		{"certify", d.certify}, {"release", d.release}, {"verify", d.verify},
	} {
		start := d.app.now()
		detail, err := s.do(ctx)
		out := step{Step: s.name, OK: err == nil, Millis: d.app.now().Sub(start).Milliseconds(), Detail: detail}
		if err != nil {
			out.Detail = err.Error()
		}
		if perr := d.app.print(out, func(w io.Writer) error { return printStep(w, out) }); perr != nil {
			return perr
		}
		if err != nil {
			return &exitError{exitFailure, "the step " + s.name + " failed"}
		}
	}
	return nil
}

func printStep(w io.Writer, s step) error {
	verdict := "ok"
	if !s.OK {
		verdict = "FAILED"
	}
	_, err := fmt.Fprintf(w, "%-8s %-6s %6.2f s  %s\n", s.Step, verdict, float64(s.Millis)/1e3, strings.ReplaceAll(s.Detail, "\n", "\n                          "))
	return err
}

// init makes an archive and opens it as a server does.
func (d *demo) init(ctx context.Context) (string, error) {
	b, err := testdata.Files.ReadFile("manifest.json")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(b, &d.manifest); err != nil {
		return "", err
	}
	if err := os.CopyFS(d.files, testdata.Files); err != nil {
		return "", err
	}
	made, err := d.app.initArchive(ctx, defaultTenant, settings{region: defaultRegion, port: -1, roots: filepath.Join(filepath.Dir(d.app.dir), "roots"), acceptWeak: true})
	if err != nil {
		return "", err
	}
	if d.node, err = d.app.openNode(ctx, nodeOptions{log: true}); err != nil {
		return "", err
	}
	return "an archive with an embedded NATS server at " + d.node.api.NATS + "; its log is signed by\n" + made.Key, nil
}

// publish sends the chats as a messaging platform does: over the network, with credentials of its own, waiting for acknowledgements.
func (d *demo) publish(ctx context.Context) (string, error) {
	pub, err := natslog.NewPublisher(ctx, natslog.PublisherConfig{URL: d.node.api.NATS, NKeySeedFile: d.app.localSeedPath(), Tenant: defaultTenant, Channel: "chat"})
	if err != nil {
		return "", err
	}
	defer pub.Close(ctx)
	n := 0
	for _, f := range d.manifest.Files {
		if !strings.HasPrefix(f.Path, "chat/") {
			continue
		}
		lines, err := os.ReadFile(filepath.Join(d.files, f.Path))
		if err != nil {
			return "", err
		}
		for line := range bytes.Lines(lines) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			if _, err := pub.Publish(ctx, natslog.PublishMsg{Data: line}); err != nil {
				return "", err
			}
			n++
		}
	}
	_, err = pub.Publish(ctx, natslog.PublishMsg{Data: []byte(`{"id":"x","form":"a typing error"}`)})
	if escrow.KindOf(err) != escrow.Invalid {
		return "", fmt.Errorf("a message that is wrong was answered with: %w", err)
	}
	return fmt.Sprintf("%d chat messages published over NATS, each acknowledged after it was validated, sealed and on disk;\none that is wrong was refused: %s", n, err), nil
}

// imports archives the mail and the text messages from files.
func (d *demo) imports(ctx context.Context) (string, error) {
	total := source.Report{}
	for _, f := range d.manifest.Files {
		if strings.HasPrefix(f.Path, "chat/") {
			continue
		}
		channel := escrow.Channel("mail")
		if strings.HasPrefix(f.Path, "sms/") {
			channel = "sms"
		}
		report, err := d.importFile(ctx, filepath.Join(d.files, f.Path), f.Format, channel)
		if err != nil {
			return "", err
		}
		total.New, total.Duplicate, total.Failed = total.New+report.New, total.Duplicate+report.Duplicate, total.Failed+report.Failed
	}
	if total.Failed > 0 || total.New == 0 {
		return "", fmt.Errorf("%d new and %d failed", total.New, total.Failed)
	}
	return fmt.Sprintf("%d mails and text messages from Maildir, mbox, EML and JSON lines, broken and oddly encoded ones included", total.New), nil
}

func (d *demo) importFile(ctx context.Context, path, format string, channel escrow.Channel) (source.Report, error) {
	walker, err := source.Open(ctx, []string{path}, source.Options{Format: format})
	if err != nil {
		return source.Report{}, err
	}
	defer walker.Close()
	pub, err := d.node.intake.conn.Publisher(defaultTenant, channel)
	if err != nil {
		return source.Report{}, err
	}
	return source.Run(ctx, walker.All(ctx), courier{pub}, source.Config{})
}

// seal waits until everything is in the ledger and the index, and looks for a readable word in any file.
func (d *demo) seal(ctx context.Context) (string, error) {
	if err := d.node.settle(ctx); err != nil {
		return "", err
	}
	status, err := d.node.api.Status(ctx, server.StatusRequest{})
	if err != nil {
		return "", err
	}
	files, found, err := grepFiles(d.app.dir, d.manifest.Erase.Words)
	if err != nil {
		return "", err
	}
	if found > 0 {
		return "", fmt.Errorf("%d words are readable on the disk", found)
	}
	t := status.Tenants[0]
	return fmt.Sprintf("%d records in the ledger, each person's part under a key of its own; in %d files not one readable word", t.Records, files), nil
}

// search asks every query of the manifest, shows one of each language, and fails if a message that must be found is not: more are right, where two
// languages share a word.
func (d *demo) search(ctx context.Context) (string, error) {
	var lines []string
	shown := map[string]bool{}
	for _, want := range d.manifest.Expectations {
		query := fmt.Sprintf("title:%[1]s OR body:%[1]s OR file:%[1]s", want.Query)
		answer, err := d.node.api.Search(ctx, server.SearchRequest{Query: query, Limit: 1})
		if err != nil {
			return "", err
		}
		if !answer.Complete || answer.Count < want.Total || len(answer.Hits) == 0 {
			return "", fmt.Errorf("%s is found %d times, in %d messages it must be, with the index at %d of %d records", want.Query, answer.Count, want.Total, answer.Position, answer.AsOf)
		}
		if shown[want.Language] {
			continue
		}
		shown[want.Language] = true
		line := fmt.Sprintf("%-12s %3d found, as in: %s", want.Query, answer.Count, marked(answer.Hits[0].Snippet, answer.Hits[0].Marks, "[", "]"))
		lines = append(lines, shorten(line, 100))
	}
	delete(shown, "*") // words of no language
	lines = append([]string{fmt.Sprintf("%d queries in %d languages, and every message that must be found is:", len(d.manifest.Expectations), len(shown))}, lines...)
	return strings.Join(lines, "\n"), d.findErasable(ctx)
}

// findErasable remembers a message that the erasure will kill.
func (d *demo) findErasable(ctx context.Context) error {
	answer, err := d.node.api.Search(ctx, server.SearchRequest{Query: d.manifest.Erase.Words[0] + " from:" + d.manifest.Erase.Identities[0].Value(), Limit: 1})
	if err != nil {
		return err
	}
	if len(answer.Hits) == 0 {
		return fmt.Errorf("nothing of the person to be erased is found")
	}
	d.erased = answer.Hits[0].ID
	return nil
}

// prove checks an inclusion proof with nothing but the leaf, the proof and the log's public key.
func (d *demo) prove(ctx context.Context) (string, error) {
	p, err := d.node.api.Proof(ctx, server.ProofRequest{ID: d.erased})
	if err != nil {
		return "", err
	}
	if err := archive.VerifyProof([]byte(p.Proof), []byte(p.Leaf), d.node.tenants[0].Signer.Verifier()); err != nil {
		return "", err
	}
	return fmt.Sprintf("record %d is in the log: its leaf of %d bytes and a proof of %d bytes, signed checkpoint included, verify offline", d.erased, len(p.Leaf), len(p.Proof)), nil
}

// verify walks the whole archive.
func (d *demo) verify(ctx context.Context) (string, error) {
	v, err := d.node.api.Verify(ctx, server.VerifyRequest{})
	if err != nil {
		return "", err
	}
	if !v.OK {
		return "", fmt.Errorf("%d faults, the first: %s", len(v.Findings), v.Findings[0].Text)
	}
	return fmt.Sprintf("every frame, leaf, root and signature of %d records: %d messages present, %d erased, 0 missing", v.Size, v.Present, v.Erased), nil
}

// grepFiles counts the files below a directory and how many of the words are readable in any of them.
func grepFiles(dir string, words []string) (files, found int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merged away meanwhile
		}
		if err != nil {
			return err
		}
		files++
		lower := bytes.ToLower(b)
		for _, w := range words {
			if bytes.Contains(lower, []byte(strings.ToLower(w))) {
				found++
			}
		}
		return nil
	})
	return files, found, err
}

// shorten cuts s after n characters.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n]) + "…"
}
