package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

// Verdicts of doctor.
const (
	sound    = "ok"
	doubtful = "warn" // works, but a promise depends on something outside
	broken   = "FAIL"
)

// examination is one thing doctor looked at.
type examination struct {
	What    string `json:"what"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
}

const doctorHelp = `Looks at what the promises of this archive depend on outside of it: the file system that holds the roots of the keys, swap and core dumps, the times
after which keys are gone for ever, and what the root stores say themselves. Exit code 1 if something is wrong; a warning does not count.`

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{Use: "doctor", Short: "Check what erasure depends on outside of the archive", Long: doctorHelp, Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		found := append(a.examineRoots(cfg), examineSwap(), examineDumps(), a.examineOfficers())
		if cfg.Erasure.terms().KeepRoots == 0 {
			found = append(found, examination{"backups", doubtful, "keep_roots_days is 0: each backup of the keys is worthless after the next destruction of keys, " +
				"expiry included, often within a day"})
		}
		err = a.with(c.Context(), func(api server.API) error {
			status, err := api.Status(c.Context(), server.StatusRequest{Tenant: escrow.Tenant(a.tenant)})
			if err == nil {
				found = append(found, examineStores(status)...)
			}
			return err
		})
		if err != nil { // that it does not open is a finding, and the others are still of use
			found = append(found, examination{"opening", broken, oneLine(err.Error())})
		}
		if err := a.print(struct {
			Examinations []examination `json:"examinations"`
		}{found}, func(w io.Writer) error { return printExaminations(w, found) }); err != nil {
			return err
		}
		if slices.ContainsFunc(found, func(e examination) bool { return e.Verdict == broken }) {
			return &exitError{code: exitFailure}
		}
		return nil
	}
	return c
}

func printExaminations(w io.Writer, found []examination) error {
	for _, e := range found {
		if _, err := fmt.Fprintf(w, "%-5s %-14s %s\n", e.Verdict, e.What, e.Detail); err != nil {
			return err
		}
	}
	return nil
}

// examineRoots looks at the folders of root stores in files.
func (a *app) examineRoots(cfg config) []examination {
	var found []examination
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		for _, r := range cfg.rootStores() {
			if f, ok := r.settings.(*fileRoots); ok {
				found = append(found, a.examineFolder(filepath.Dir(a.rootsPath(cfg, place{name, name}, f)), f.AcceptWeak))
			}
		}
	}
	return found
}

func (a *app) examineFolder(dir string, acceptWeak bool) examination {
	e := examination{What: "roots", Verdict: sound}
	m, err := mountOf(dir)
	if err != nil {
		return examination{e.What, broken, oneLine(err.Error())}
	}
	data, err := mountOf(a.dir)
	if err != nil {
		return examination{e.What, broken, oneLine(err.Error())}
	}
	e.Detail = fmt.Sprintf("%s is on %s (%s)", dir, m.kind, m.source)
	switch {
	case m.kind == "":
		e.Verdict, e.Detail = doubtful, dir+": this system does not say which file system holds it, so nobody knows whether overwriting overwrites"
	case acceptWeak:
		e.Verdict = doubtful
		e.Detail += "; accept_weak is set: old roots may stay on the disk"
	case m.device == data.device:
		e.Verdict = doubtful
		e.Detail += ", as the data: a copy of the whole disk takes keys and roots together; put them apart with escrow init --roots"
	}
	return e
}

// examineOfficers looks for keys of officers that were not handed over: whoever can read two of them is two officers.
func (a *app) examineOfficers() examination {
	keys, err := filepath.Glob(a.officerPath("*"))
	switch {
	case err != nil:
		return examination{"officers", broken, oneLine(err.Error())}
	case len(keys) == 0:
		return examination{"officers", sound, "no officer's key lies in the data directory"}
	case len(keys) == 1:
		return examination{"officers", doubtful, keys[0] + " is not handed over yet"}
	}
	return examination{"officers", doubtful, fmt.Sprintf("the keys of %d officers lie in %s: whoever can read them needs nobody else to erase; hand them over and remove them here",
		len(keys), filepath.Dir(keys[0]))}
}

// The places where Linux says what may leave memory.
const (
	swapTable   = "/proc/swaps"
	corePattern = "/proc/sys/kernel/core_pattern"
	blockNames  = "/sys/class/block" // DEVICE/dm/uuid tells what a mapped device is
)

func examineSwap() examination {
	e := examination{What: "swap", Verdict: sound, Detail: "none, so keys and text in memory stay there"}
	b, err := os.ReadFile(swapTable)
	if os.IsNotExist(err) {
		return examination{e.What, doubtful, "this system does not say whether it has swap; keys and text in memory may reach the disk"}
	}
	if err != nil {
		return examination{e.What, doubtful, oneLine(err.Error())}
	}
	var all, clear []string
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "/") {
			continue
		}
		name := unescape(fields[0])
		all = append(all, name)
		if !sealedSwap(name) {
			clear = append(clear, name)
		}
	}
	switch {
	case len(clear) > 0:
		e.Verdict, e.Detail = doubtful, "keys and text in memory may be written to "+strings.Join(clear, ", ")+"; turn swap off or encrypt it with a key that is not kept"
	case len(all) > 0:
		e.Detail = strings.Join(all, ", ") + ": in memory or encrypted"
	}
	return e
}

// sealedSwap reports whether swap goes to compressed memory or to an encrypted device.
func sealedSwap(name string) bool {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return false
	}
	if strings.HasPrefix(filepath.Base(real), "zram") {
		return true
	}
	id, err := os.ReadFile(filepath.Join(blockNames, filepath.Base(real), "dm", "uuid"))
	return err == nil && strings.HasPrefix(string(id), "CRYPT-")
}

func examineDumps() examination {
	e := examination{What: "core dumps", Verdict: sound, Detail: "off for this program"}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Max != 0 {
		e.Verdict, e.Detail = doubtful, "this system does not let the program turn them off; keys may reach the disk if it fails"
		if b, err := os.ReadFile(corePattern); err == nil {
			e.Detail += " (" + oneLine(string(b)) + ")"
		}
	}
	return e
}

// examineStores says what the root stores say, and whether the times they need keep the promise.
func examineStores(s server.StatusAnswer) []examination {
	var found []examination
	for _, t := range s.Tenants {
		if t.Terminated {
			found = append(found, examination{"keys", sound, fmt.Sprintf("tenant %s was erased as a whole; there are none", t.Tenant)})
			continue
		}
		found = append(found, examination{"times", sound, fmt.Sprintf("tenant %s: %s", t.Tenant, t.Terms)})
		for _, store := range t.Stores {
			e := examination{"root store", sound, fmt.Sprintf("%s: %s; %d live, %d pending", store.Store, store.Method, store.Live, store.Pending)}
			if store.Wait != "" {
				e.Detail += "; the provider keeps what was destroyed for " + store.Wait
			}
			if store.Problem != "" {
				e.Verdict, e.Detail = broken, store.Store+": "+store.Problem
			}
			found = append(found, e)
		}
	}
	return found
}
