package main

import (
	"fmt"
	"io"
	"os"

	"escrow"
	"escrow/internal/vfs"
	"escrow/privacy/certificate"
	"escrow/server"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func (a *app) eraseStatus() *cobra.Command {
	c := &cobra.Command{Use: "status [REQUEST]", Short: "Where erasures stand", Args: args(0, 1, "at most the number of a request")}
	c.RunE = func(c *cobra.Command, numbers []string) error {
		req := server.CasesRequest{Tenant: escrow.Tenant(a.tenant)}
		if len(numbers) > 0 {
			seq, err := parseRequest(numbers[0])
			if err != nil {
				return err
			}
			req.Request = &seq
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Cases(c.Context(), req)
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) error { return printCases(w, answer.Cases, req.Request != nil) })
		})
	}
	return c
}

// printCases prints one line an erasure, or all steps of it.
func printCases(w io.Writer, cases []server.Case, steps bool) error {
	for _, k := range cases {
		fmt.Fprintf(w, "request %-8d %-12s %-12s requested by %s", k.Request, k.State, k.Scope, k.By)
		if k.Approver != "" {
			fmt.Fprintf(w, ", approved by %s", k.Approver)
		}
		if k.Case != "" {
			fmt.Fprintf(w, ", case %s", k.Case)
		}
		fmt.Fprintln(w)
		if steps {
			for _, s := range k.Steps {
				printCaseStep(w, s)
			}
		}
		for _, p := range k.Pending {
			fmt.Fprintf(w, "  pending: %s\n", p)
		}
	}
	if len(cases) == 0 {
		_, err := fmt.Fprintln(w, "no erasure was requested")
		return err
	}
	return nil
}

func (a *app) eraseCertificate() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "certificate REQUEST", Short: "Write the certificate of an erasure", Args: args(1, 1, "the number of a request, or of an order of the schedule or a hold"),
		Long: `Writes the signed certificate: what was erased, when each step happened, what became of the keys, each claim with its proof or marked as attested.
While steps are pending it is an interim certificate and says so. It holds no personal data. Whoever gets it checks it with escrow erase check.`}
	c.Flags().StringVar(&out, "out", "", "file to write, instead of printing it")
	c.RunE = func(c *cobra.Command, numbers []string) error {
		seq, err := parseRequest(numbers[0])
		if err != nil {
			return err
		}
		return a.with(c.Context(), func(api server.API) error {
			answer, err := api.Certificate(c.Context(), server.CertificateRequest{Tenant: escrow.Tenant(a.tenant), Request: seq})
			if err != nil {
				return err
			}
			return a.handOver(answer, out)
		})
	}
	return c
}

// writtenCertificate is what erase certificate --out says.
type writtenCertificate struct {
	File  string `json:"file"`
	Final bool   `json:"final"`
	Key   string `json:"key"`
}

func (a *app) handOver(answer server.CertificateAnswer, out string) error {
	if out == "" {
		_, err := fmt.Fprintln(a.out, string(answer.Certificate))
		return err
	}
	if err := vfs.WriteFileAtomic(a.fs, out, append([]byte(answer.Certificate), '\n'), 0o644); err != nil {
		return err
	}
	return a.print(writtenCertificate{out, answer.Final, answer.Key}, func(w io.Writer) error {
		what := "the certificate"
		if !answer.Final {
			what = "an interim certificate, for steps are pending,"
		}
		_, err := fmt.Fprintf(w, "%s is in %s; it is checked by: escrow erase check %s --key %s\n", what, out, out, answer.Key)
		return err
	})
}

const maxCertificateBytes = 64 << 20

func (a *app) eraseCheck() *cobra.Command {
	var key string
	c := &cobra.Command{Use: "check FILE --key VKEY", Short: "Check a certificate of erasure, without the archive", Args: args(1, 1, "the file of a certificate"),
		Long: `Checks a certificate with nothing but the log's verifier key, which must come from elsewhere: from an earlier bundle, a contract, a web page of the
controller. Says of each claim whether it is proven, by signatures and proofs in the certificate, or attested, that is, only said by the
controller or a provider. Exit code 3 if the certificate does not hold.`}
	c.Flags().StringVar(&key, "key", "", "verifier key of the log (name+hash+base64)")
	c.RunE = func(c *cobra.Command, files []string) error {
		if key == "" {
			return usage("give the log's verifier key with --key; without one obtained elsewhere a certificate proves nothing")
		}
		b, err := readBounded(files[0])
		if err != nil {
			return err
		}
		if _, err := note.NewVerifier(key); err != nil { // says nothing about the certificate
			return usage("--key is no verifier key of an archive, name+hash+base64: %v", err)
		}
		report, err := certificate.Verify(b, key)
		if err != nil {
			return &exitError{exitVerify, fmt.Sprintf("the certificate does not hold: %v", err)}
		}
		return a.print(report, func(w io.Writer) error { return printReport(w, report) })
	}
	return c
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return nil, escrow.Errorf("escrow", escrow.NotFound, "there is no file %s", name)
	}
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "open the certificate: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCertificateBytes+1))
	if err == nil && len(b) > maxCertificateBytes {
		return nil, escrow.Errorf("escrow", escrow.Invalid, "%s is larger than any certificate", name)
	}
	if err != nil {
		return nil, escrow.Errorf("escrow", escrow.Unavailable, "read the certificate: %w", err)
	}
	return b, nil
}

// printReport says what a certificate that holds claims, and on what each claim rests.
func printReport(w io.Writer, r certificate.Report) error {
	s := r.Statement
	state := "final"
	if !s.Final {
		state = "interim: steps are pending"
	}
	fmt.Fprintf(w, "the certificate holds: %s of archive %s, scope %s, %s\n", s.Certificate, s.Archive, s.Scope, state)
	for _, step := range s.Steps {
		fmt.Fprintf(w, "  %s  record %-8d %-16s %s\n", step.Time.UTC().Format("2006-01-02 15:04:05"), step.Record, step.Step, step.Officer)
	}
	for _, c := range s.Claims {
		fmt.Fprintf(w, "%-8s  %s\n", c.Basis, oneLine(c.Text))
	}
	for _, p := range s.Pending {
		fmt.Fprintf(w, "pending   %s\n", oneLine(p))
	}
	for _, left := range s.Remains {
		fmt.Fprintf(w, "remains   %s; until %s\n", oneLine(left.What), oneLine(left.Until))
	}
	_, err := fmt.Fprintf(w, "proven: follows from signatures and proofs in the file; attested: said by the archive or a provider\n"+
		"compare with a checkpoint kept elsewhere: %d records, root %s\n", r.Size, r.Root)
	return err
}
