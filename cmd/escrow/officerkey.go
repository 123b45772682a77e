package main

import (
	"os"

	"escrow"
	"escrow/events/officers"
	"escrow/internal/vfs"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// maxOfficerKeyBytes bounds a key file: a line of text.
const maxOfficerKeyBytes = 4 << 10

func (a *app) officerPath(name string) string { return a.path("credentials", "officer-"+name+".key") }

// signing says whose key signs an act.
type signing struct {
	as   string // name of an officer whose key is among the credentials
	file string // key file at any other place
}

// flags adds the flags that choose an officer.
func (s *signing) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.as, "as", "", "officer who signs; the key is DATA/credentials/officer-NAME.key")
	c.Flags().StringVar(&s.file, "officer", os.Getenv("ESCROW_OFFICER"), "key file of the officer who signs, at any other place (or $ESCROW_OFFICER)")
}

// signer reads the key that signs. It is used in this process only: neither key nor file is ever sent to a server.
func (a *app) signer(s signing) (note.Signer, error) {
	path := s.file
	if s.as != "" {
		if err := escrow.CheckToken("the officer", s.as); err != nil {
			return nil, err
		}
		path = a.officerPath(s.as)
	}
	if path == "" {
		return nil, usage("this needs the signature of an officer; say who signs with --as NAME or --officer FILE (escrow officer list shows who there is)")
	}
	b, err := vfs.ReadFile(a.fs, path, maxOfficerKeyBytes)
	if escrow.KindOf(err) == escrow.NotFound {
		return nil, escrow.Errorf("escrow", escrow.NotFound, "there is no key %s; it was handed over, or the officer was never added (escrow officer list)", path)
	}
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "read the officer's key: %w", err)
	}
	signer, err := officers.ParseKey(string(b))
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.KindOf(err), "%s: %w", path, err)
	}
	if s.as != "" && signer.Name() != s.as {
		return nil, escrow.Errorf("escrow", escrow.Invalid, "%s is the key of officer %q, not of %q", path, signer.Name(), s.as)
	}
	return signer, nil
}

// makeOfficerKey writes a fresh key for an officer and returns its public half.
func (a *app) makeOfficerKey(name string) (vkey string, err error) {
	path := a.officerPath(name)
	if _, err := a.fs.Stat(path); err == nil {
		return "", escrow.Errorf("escrow", escrow.Conflict, "there is a key %s already; move it away first", path)
	}
	secret, vkey, err := officers.NewKey(a.rand, name)
	if err != nil {
		return "", err
	}
	if err := a.fs.MkdirAll(a.path("credentials"), 0o700); err != nil {
		return "", escrow.Errorf("escrow", escrow.Unavailable, "create the folder of credentials: %w", err)
	}
	return vkey, vfs.WriteFileAtomic(a.fs, path, []byte(secret+"\n"), 0o600)
}
