package disposal_test

import (
	"strings"
	"testing"
	"time"

	"escrow"
	"escrow/crypto/rootstore"
	"escrow/internal/vfs"
	"escrow/retention/disposal"
)

func TestTerms(t *testing.T) {
	const days = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		terms disposal.Terms
		says  string // part of the error; "" for none
	}{
		{"nothing is waited for", disposal.Terms{}, ""},
		{"the defaults", disposal.DefaultTerms(), ""},
		{"just in time", disposal.Terms{CoolingOff: 14 * days, KeepRoots: 8 * days, Wait: 7 * days}, ""},
		{"an hour late", disposal.Terms{CoolingOff: 14*days - time.Hour, KeepRoots: 8 * days, Wait: 7*days + 2*time.Hour}, "721 h, more than the 30 days"},
		{"a provider's default", disposal.Terms{CoolingOff: 72 * time.Hour, KeepRoots: 7 * days, Wait: 30 * days, Store: "awskms"},
			"72 h cooling-off + 24 h for the index + 7 days roots kept + 30 days waiting period of awskms = 41 days, more than the 30 days"},
		{"what to shorten", disposal.Terms{Wait: 30 * days, Store: "gcpkms"}, "shorten cooling_off_hours or keep_roots_days, or the waiting period of gcpkms"},
		{"roots kept too long", disposal.Terms{KeepRoots: 30 * days}, "0 h cooling-off + 24 h for the index + 30 days roots kept = 31 days"},
		{"too long to reconsider", disposal.Terms{CoolingOff: 15 * days}, "15 days cooling-off is more than 14 days"},
		{"backwards", disposal.Terms{CoolingOff: -time.Hour}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.terms.Check()
			if tt.says == "" {
				check(t, err)
				return
			}
			wantKind(t, "check", err, escrow.Invalid, tt.says)
		})
	}
}

// TestOpenAsksTheRootStores: the waiting period is the store's, whatever the settings say of it.
func TestOpenAsksTheRootStores(t *testing.T) {
	v := found(t, settings{})
	v.close()
	slow := settings{terms: disposal.DefaultTerms(), stores: func(fs vfs.FS, c *clock) []rootstore.Store {
		return []rootstore.Store{&slowStore{Store: fileStore(t, fs), clock: c, wait: 30 * 24 * time.Hour}}
	}}
	_, err := unlock(t, v.fs, v.clock, v.officers, slow)
	if err == nil || !strings.Contains(err.Error(), "30 days waiting period of slow = 41 days") {
		t.Errorf("opened with 30 days of waiting: %v", err)
	}
}
