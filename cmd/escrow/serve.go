package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

const serveHelp = `Runs the archive: an embedded NATS server that platforms publish to, the intake, the sealer, the index, and a local API that the other
commands find by themselves. Everything listens on this machine only. Stop it with Ctrl-C or SIGTERM.

Platforms publish to escrow.in.<tenant>.<channel> with any NATS client and their own credentials (escrow platform add).`

// shutdownPatience is how long requests under way may take when the service stops.
const shutdownPatience = 10 * time.Second

func (a *app) serveCommand() *cobra.Command {
	var port int
	c := &cobra.Command{Use: "serve", Short: "Run the archive", Long: serveHelp, Args: args(0, 0, "no arguments")}
	c.Flags().IntVar(&port, "nats-port", 0, "port of the embedded NATS server, instead of the configured one (-1 for any free one)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if r, _ := a.running(c.Context()); r != nil {
			return escrow.Errorf("escrow", escrow.Unavailable, "process %d serves %s already, on %s", r.PID, a.dir, r.NATS)
		}
		n, err := a.openNode(c.Context(), nodeOptions{log: true, port: port, logger: a.loggerAt(a.serveLevel())})
		if err != nil {
			return err
		}
		err = a.serve(c.Context(), n)
		return errors.Join(err, n.close())
	}
	return c
}

func (a *app) serveLevel() slog.Level {
	if a.verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// serve answers until ctx ends or a part of the node fails for good.
func (a *app) serve(ctx context.Context, n *node) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return escrow.Errorf("escrow", escrow.Unavailable, "listen for the local API: %w", err)
	}
	token, err := a.token()
	if err != nil {
		return err
	}
	n.api.Started = a.now()
	requests, cancelRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelRequests()
	srv := &http.Server{Handler: server.Handler(n.api, token), ReadHeaderTimeout: shutdownPatience, BaseContext: func(net.Listener) context.Context { return requests }}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	run := runFile{PID: os.Getpid(), API: "http://" + listener.Addr().String(), Token: token, NATS: n.api.NATS}
	if err := a.writeRunFile(run); err != nil {
		return errors.Join(err, srv.Close())
	}
	if err := a.announce(run); err != nil {
		return errors.Join(err, srv.Close())
	}
	select {
	case <-ctx.Done():
		err = nil
	case <-n.failed():
		err = n.failure()
	case err = <-served:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	err = errors.Join(err, a.removeRunFile())
	cancelRequests() // a verification may have minutes to go; an erasure is completed all the same
	if srv.Shutdown(stop) != nil {
		err = errors.Join(err, srv.Close())
	}
	return err
}

// announce says where to publish.
func (a *app) announce(r runFile) error {
	v := struct {
		NATS string `json:"nats"`
		API  string `json:"api"`
		PID  int    `json:"pid"`
		Seed string `json:"credentials"`
	}{r.NATS, r.API, r.PID, a.localSeedPath()}
	return a.print(v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "serving %s\npublish to escrow.in.<tenant>.<channel> at %s with the nkey in %s\n", a.dir, r.NATS, v.Seed)
		return err
	})
}

// token returns 32 random bytes in hex.
func (a *app) token() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(a.rand, b[:]); err != nil {
		return "", escrow.Errorf("escrow", escrow.Internal, "read randomness: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
