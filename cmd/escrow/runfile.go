package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"

	"escrow/internal/vfs"
	"escrow/server"
)

// runFile is DIR/run/server.json, by which commands find the server that owns the directory. It is readable by its owner only: the token in it opens
// everything.
type runFile struct {
	PID   int    `json:"pid"`
	API   string `json:"api"`
	Token string `json:"token"`
	NATS  string `json:"nats"`
}

const maxRunFileBytes = 64 << 10

func (a *app) runFilePath() string { return a.path("run", "server.json") }

func (a *app) writeRunFile(r runFile) error {
	if err := a.fs.MkdirAll(a.path("run"), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(a.fs, a.runFilePath(), b, 0o600)
}

func (a *app) removeRunFile() error {
	if err := a.fs.Remove(a.runFilePath()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// running returns the server that owns the data directory, or nil if none answers. A file left behind by a crash names nobody.
func (a *app) running(ctx context.Context) (*runFile, *server.Client) {
	b, err := vfs.ReadFile(a.fs, a.runFilePath(), maxRunFileBytes)
	if err != nil {
		return nil, nil
	}
	var r runFile
	if json.Unmarshal(b, &r) != nil || r.API == "" {
		return nil, nil
	}
	c := &server.Client{URL: r.API, Token: r.Token, HTTP: &http.Client{}}
	if c.Ping(ctx) != nil { // nobody, or somebody else who got the port since
		return nil, nil
	}
	return &r, c
}

// open returns the archive in the data directory: through the server that owns it, or else by opening it here. done releases it.
func (a *app) open(ctx context.Context) (api server.API, done func() error, err error) {
	if _, client := a.running(ctx); client != nil {
		return client, func() error { return nil }, nil
	}
	n, err := a.openNode(ctx, nodeOptions{})
	if err == nil && n.behindLog() {
		// Messages acknowledged before a crash wait in the log: they belong to the answer, and nobody can be erased without them.
		if err = n.close(); err == nil {
			n, err = a.openNode(ctx, nodeOptions{log: true, private: true})
		}
		if err == nil {
			if err = n.settle(ctx); err != nil {
				err = errors.Join(err, n.close())
			}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return n.api, n.close, nil
}

// with runs f on the archive and reports the first error of f and of closing it.
func (a *app) with(ctx context.Context, f func(server.API) error) error {
	api, done, err := a.open(ctx)
	if err != nil {
		return err
	}
	err = f(api)
	if cerr := done(); err == nil {
		err = cerr
	}
	return err
}
