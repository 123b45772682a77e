package escrow_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"escrow"
)

// Whatever is logged by mistake, no person can be read in it.
func TestPersonalTypesHideInLogs(t *testing.T) {
	person := escrow.Participant{ID: "email:ana@example.org", Name: "Ana Díaz", Role: escrow.RoleCustomer}
	file := escrow.Attachment{Name: "diagnosis.pdf", MediaType: "application/pdf", Data: []byte("needle")}
	message := escrow.Message{ID: "1", From: person, Text: "needle", Attachments: []escrow.Attachment{file}}
	values := map[string]any{"message": message, "message pointer": &message, "participant": person, "identity": person.ID, "attachment": file}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			slog.New(slog.NewJSONHandler(&out, nil)).Info("stored", "value", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("stored", "value", v)
			for _, needle := range []string{"ana@", "Ana", "needle", "diagnosis", "bmVlZGxl"} {
				if strings.Contains(out.String(), needle) {
					t.Errorf("the log has %q: %s", needle, out.String())
				}
			}
		})
	}
}
