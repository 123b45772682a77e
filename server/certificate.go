package server

import (
	"context"

	"escrow"
	"escrow/privacy/certificate"
)

// Certificate implements API.
func (a *Archive) Certificate(ctx context.Context, req CertificateRequest) (CertificateAnswer, error) {
	t, err := a.tenant(req.Tenant)
	if err != nil {
		return CertificateAnswer{}, err
	}
	c, err := certificate.Build(ctx, t.Ledger, req.Request, t.Signer)
	if err != nil {
		return CertificateAnswer{}, err
	}
	b, err := c.MarshalJSON()
	return CertificateAnswer{Final: c.Statement.Final, Certificate: string(b), Key: t.Signer.VKey()}, err
}

// Certify returns the digest of the certificate of a finished request, for the pipeline to record.
func (t *Tenant) Certify(ctx context.Context, request escrow.Seq) (string, error) {
	return certificate.Digest(ctx, t.Ledger, request)
}
