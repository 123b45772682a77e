package main

import (
	"context"
	"fmt"
	"io"

	"escrow"
	"escrow/server"

	"github.com/spf13/cobra"
)

const officerHelp = `Officers sign what must not be done by one person alone: requests and approvals of erasures, holds, and who else is an officer. An
erasure needs two of them, neither of whom brought the other in. The first two are added by who runs the archive; everybody after them by an
officer, with --as.

Officers have the names of functions, such as "dpo" or "legal-2": names stay in the ledger for ever, so they must not be those of people.`

func (a *app) officerCommand() *cobra.Command {
	c := &cobra.Command{Use: "officer", Short: "Who may sign erasures and holds", Long: officerHelp}
	c.AddCommand(a.officerAdd(), a.officerRemove(), a.officerList())
	return group(c)
}

func (a *app) officerAdd() *cobra.Command {
	var by signing
	var key string
	c := &cobra.Command{Use: "add NAME", Short: "Add an officer", Args: args(1, 1, "the name of a function, such as dpo"),
		Long: `Makes a signing key in DATA/credentials/officer-NAME.key and records its public half in the ledger. Hand the file over and remove it here: who has
two officers' keys has both pairs of eyes. With --key the public half of a key made elsewhere is recorded, and no file is written.`}
	by.flags(c)
	c.Flags().StringVar(&key, "key", "", "verifier key (name+hash+base64) of a key made elsewhere")
	c.RunE = func(c *cobra.Command, names []string) error {
		if err := escrow.CheckToken("the officer", names[0]); err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error { return a.addOfficer(c, api, names[0], key, by) })
	}
	return c
}

func (a *app) addOfficer(c *cobra.Command, api server.API, name, key string, by signing) error {
	made := addedOfficer{Officer: name, Key: key}
	if key == "" {
		vkey, err := a.makeOfficerKey(name)
		if err != nil {
			return err
		}
		made.Key, made.File = vkey, a.officerPath(name)
	}
	answer, err := a.introduce(c.Context(), api, made, by)
	if err != nil {
		if made.File != "" { // a key nobody knows is of no use
			_ = a.fs.Remove(made.File)
		}
		return err
	}
	made.Event = answer.Event
	return a.print(made, func(w io.Writer) error {
		fmt.Fprintf(w, "officer %s is known from record %d on, by the key %s\n", made.Officer, made.Event, made.Key)
		if made.File == "" {
			return nil
		}
		_, err := fmt.Fprintf(w, "the signing key is in %s; hand it over and remove it here\n", made.File)
		return err
	})
}

// addedOfficer is what officer add says.
type addedOfficer struct {
	Officer string     `json:"officer"`
	Key     string     `json:"key"`
	File    string     `json:"file,omitempty"`
	Event   escrow.Seq `json:"event"`
}

func (a *app) officerRemove() *cobra.Command {
	var by signing
	c := &cobra.Command{Use: "remove NAME", Short: "Take an officer's powers away", Args: args(1, 1, "the name of an officer"),
		Long: "From then on nothing this officer signs counts. What was signed before stays valid; the name can never be given to anybody else."}
	by.flags(c)
	c.RunE = func(c *cobra.Command, names []string) error {
		order := server.ActOrder{Act: server.ActRemoveOfficer, Name: names[0]}
		return a.sign(c.Context(), order, by, func(w io.Writer, answer server.ActAnswer) error {
			_, err := fmt.Fprintf(w, "officer %s may sign nothing any more, from record %d on\n", names[0], answer.Event)
			return err
		})
	}
	return c
}

func (a *app) officerList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the officers", Args: args(0, 0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Officers(c.Context(), server.OfficersRequest{Tenant: escrow.Tenant(a.tenant)})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printOfficers(w, answer.Officers) })
		})
	}
	return c
}

func printOfficers(w io.Writer, list []server.Officer) error {
	for _, o := range list {
		origin := "from the beginning"
		if o.Sponsor != "" {
			origin = "by " + o.Sponsor
		}
		if o.Removed {
			origin += ", removed"
		}
		if _, err := fmt.Fprintf(w, "%-16s %-24s %s\n", o.Officer, origin, o.Key); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nobody yet; an erasure needs two: escrow officer add NAME")
		return err
	}
	return nil
}

// introduce records an officer. The first two sign for themselves, with the key they bring; everybody else comes with a sponsor.
func (a *app) introduce(ctx context.Context, api server.API, made addedOfficer, by signing) (server.ActAnswer, error) {
	if by == (signing{}) && made.File != "" {
		by.file = made.File
	}
	signer, err := a.signer(by)
	if err != nil {
		return server.ActAnswer{}, err
	}
	draft, err := a.draft(ctx, api, server.ActOrder{Act: server.ActAddOfficer, Name: made.Officer, Key: made.Key}, signer)
	if err != nil {
		return server.ActAnswer{}, err
	}
	return a.submit(ctx, api, draft, signer)
}
