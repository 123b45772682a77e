package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"escrow"
	"escrow/events"
	"escrow/events/natslog"
	"escrow/internal/vfs"
	"escrow/server"

	"github.com/spf13/cobra"
)

// localPlatform is the operator's own platform; it may publish to every channel. Imports use it.
const localPlatform = "local"

const maxPlatformsBytes = 4 << 20

// platformsFile is who may publish where, in the data directory.
const platformsFile = "platforms.json"

func (a *app) platformsPath() string { return a.path(platformsFile) }

// localSeedPath is where the operator's own credentials are.
func (a *app) localSeedPath() string { return a.seedPath(localPlatform) }

func (a *app) seedPath(name string) string { return a.path("credentials", name+".nk") }

func (a *app) loadPlatforms() ([]natslog.Platform, error) {
	b, err := vfs.ReadFile(a.fs, a.platformsPath(), maxPlatformsBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return []natslog.Platform{}, nil
	}
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "read the platforms: %w", err)
	}
	var list []natslog.Platform
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, escrow.Errorf("escrow", escrow.Invalid, "%s: %w", a.platformsPath(), err)
	}
	return list, nil
}

func (a *app) savePlatforms(list []natslog.Platform) error {
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return escrow.Errorf("escrow", escrow.Internal, "%w", err)
	}
	return vfs.WriteFileAtomic(a.fs, a.platformsPath(), append(b, '\n'), 0o600)
}

// ensureLocalPlatform makes the operator's credentials if there are none.
func (a *app) ensureLocalPlatform() error {
	list, err := a.loadPlatforms()
	if err != nil || slices.ContainsFunc(list, func(p natslog.Platform) bool { return p.Name == localPlatform }) {
		return err
	}
	public, err := a.makeSeed(localPlatform)
	if err != nil {
		return err
	}
	return a.savePlatforms(append(list, natslog.Platform{Name: localPlatform, NKey: public, Publish: []string{"escrow.in.*.*"}}))
}

// makeSeed writes fresh credentials and returns the public key. Only the public key is kept by the archive; the seed file belongs to the platform.
func (a *app) makeSeed(name string) (string, error) {
	seed, public, err := natslog.NewSeed()
	if err != nil {
		return "", err
	}
	if err := a.fs.MkdirAll(a.path("credentials"), 0o700); err != nil {
		return "", err
	}
	return public, vfs.WriteFileAtomic(a.fs, a.seedPath(name), append(seed, '\n'), 0o600)
}

// platformFile changes the platforms on disk and, through apply, in the running server.
type platformFile struct {
	app   *app
	apply func([]natslog.Platform) error // nil where no server runs

	mu sync.Mutex // one change at a time
}

// Set implements server.PlatformStore.
func (f *platformFile) Set(p natslog.Platform) ([]natslog.Platform, error) {
	return f.change(func(list []natslog.Platform) ([]natslog.Platform, error) {
		list = slices.DeleteFunc(list, func(old natslog.Platform) bool { return old.Name == p.Name })
		return append(list, p), nil
	})
}

// Remove implements server.PlatformStore.
func (f *platformFile) Remove(name string) ([]natslog.Platform, error) {
	return f.change(func(list []natslog.Platform) ([]natslog.Platform, error) {
		n := len(list)
		list = slices.DeleteFunc(list, func(old natslog.Platform) bool { return old.Name == name })
		if len(list) == n {
			return nil, escrow.Errorf("escrow", escrow.NotFound, "there is no platform %q", name)
		}
		return list, nil
	})
}

func (f *platformFile) change(edit func([]natslog.Platform) ([]natslog.Platform, error)) ([]natslog.Platform, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.app.loadPlatforms()
	if err != nil {
		return nil, err
	}
	if list, err = edit(list); err != nil {
		return nil, err
	}
	if err := natslog.CheckPlatforms(list); err != nil {
		return nil, err
	}
	if err := f.app.savePlatforms(list); err != nil {
		return nil, err
	}
	if f.apply != nil {
		return list, f.apply(list)
	}
	return list, nil
}

func (a *app) platformCommand() *cobra.Command {
	c := &cobra.Command{Use: "platform", Short: "Credentials of the platforms that publish"}
	var channels []string
	add := &cobra.Command{Use: "add NAME --channel C…", Short: "Let a platform publish to its channels, and only there", Args: args(1, 1, "a name"),
		Long: "Writes an nkey seed file for the platform. The archive keeps its public key only: hand the file over and remove it here."}
	add.Flags().StringSliceVar(&channels, "channel", nil, "channel the platform may publish to; repeat for several, * for all of the tenant")
	add.RunE = func(c *cobra.Command, names []string) error {
		if len(channels) == 0 {
			return usage("name at least one --channel the platform may publish to")
		}
		if err := escrow.Tenant(names[0]).Check(); err != nil {
			return usage("the name of a platform has the form of a tenant's name: %s", err)
		}
		tenant, err := a.onlyTenant()
		if err != nil {
			return err
		}
		return a.addPlatform(c, names[0], tenant, channels)
	}
	list := &cobra.Command{Use: "list", Short: "List the platforms", Args: args(0, 0, "no arguments")}
	list.RunE = func(*cobra.Command, []string) error {
		if _, err := a.loadConfig(); err != nil {
			return err
		}
		platforms, err := a.loadPlatforms()
		if err != nil {
			return err
		}
		return a.print(server.PlatformAnswer{Platforms: platforms}, func(w io.Writer) error { return printPlatforms(w, platforms) })
	}
	remove := &cobra.Command{Use: "remove NAME", Short: "Take a platform's credentials away", Args: args(1, 1, "a name")}
	remove.RunE = func(c *cobra.Command, names []string) error {
		return a.setPlatform(c, server.PlatformRequest{Name: names[0], Remove: true})
	}
	c.AddCommand(add, list, remove)
	return group(c)
}

func (a *app) addPlatform(c *cobra.Command, name string, tenant escrow.Tenant, channels []string) error {
	req := server.PlatformRequest{Name: name}
	for _, channel := range channels {
		if c := escrow.Channel(channel); channel != "*" && c.Check() != nil {
			return c.Check()
		}
		req.Publish = append(req.Publish, events.InSubject(tenant, escrow.Channel(channel)))
	}
	list, err := a.loadPlatforms()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(p natslog.Platform) bool { return p.Name == name }) {
		return escrow.Errorf("escrow", escrow.Conflict, "there is a platform %q already; remove it first to give it new credentials", name)
	}
	if req.NKey, err = a.makeSeed(name); err != nil {
		return err
	}
	if err := a.setPlatform(c, req); err != nil {
		return err
	}
	if !a.json {
		_, err = fmt.Fprintf(a.out, "the platform connects with the nkey in %s\n", a.seedPath(name))
	}
	return err
}

// setPlatform changes the platforms through the running server, or in the file.
func (a *app) setPlatform(c *cobra.Command, req server.PlatformRequest) error {
	api, done, err := a.open(c.Context())
	if err != nil {
		return err
	}
	answer, err := api.SetPlatform(c.Context(), req)
	if cerr := done(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return a.print(answer, func(w io.Writer) error { return printPlatforms(w, answer.Platforms) })
}

func printPlatforms(w io.Writer, list []natslog.Platform) error {
	for _, p := range list {
		if _, err := fmt.Fprintf(w, "%-20s %s\n", p.Name, strings.Join(p.Publish, " ")); err != nil {
			return err
		}
	}
	return nil
}
