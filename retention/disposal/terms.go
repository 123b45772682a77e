package disposal

import (
	"fmt"
	"time"

	"escrow"
)

// Terms are the times an erasure takes. The zero Terms wait for nothing; DefaultTerms are what an archive has without a setting.
type Terms struct {
	CoolingOff time.Duration // between approval and order
	KeepRoots  time.Duration // for which the root of an earlier key state is kept, so that a mishap with the newest can be mended; 0 destroys it at once
	Wait       time.Duration // of the slowest root store, between its destroy call and the end of the key material; Open takes the largest a store reports
	Store      string        // which that is, for the text of errors
}

// DefaultTerms returns 72 hours of cooling-off and roots kept for 7 days.
func DefaultTerms() Terms { return Terms{CoolingOff: 72 * time.Hour, KeepRoots: 7 * day} }

// Total returns the time from the approval of an erasure to the end of the last root that opens an earlier copy of the keys.
func (t Terms) Total() time.Duration { return t.CoolingOff + IndexTime + t.KeepRoots + t.Wait }

// Check says whether an erasure can be finished within MaxErasureTime. The error is of kind Invalid and shows the arithmetic.
func (t Terms) Check() error {
	switch {
	case t.CoolingOff < 0 || t.KeepRoots < 0 || t.Wait < 0:
		return escrow.Errorf("disposal.Terms", escrow.Invalid, "the times of an erasure cannot be negative: cooling-off %s, roots kept %s", span(t.CoolingOff), span(t.KeepRoots))
	case t.CoolingOff > MaxCoolingOff:
		return escrow.Errorf("disposal.Terms", escrow.Invalid, "%s cooling-off is more than %s; shorten cooling_off_hours", span(t.CoolingOff), span(MaxCoolingOff))
	case t.Total() <= MaxErasureTime:
		return nil
	}
	sum := fmt.Sprintf("%s cooling-off + %s for the index + %s roots kept", hours(t.CoolingOff), hours(IndexTime), span(t.KeepRoots))
	shorten := "shorten cooling_off_hours or keep_roots_days"
	if t.Wait > 0 {
		store := t.Store
		if store == "" {
			store = "the root store"
		}
		sum += fmt.Sprintf(" + %s waiting period of %s", span(t.Wait), store)
		shorten += ", or the waiting period of " + store
	}
	return escrow.Errorf("disposal.Terms", escrow.Invalid, "%s = %s, more than the %s within which an erasure must be finished (GDPR Art. 12(3)); %s",
		sum, span(t.Total()), span(MaxErasureTime), shorten)
}

// span writes a duration in days if it is a whole number of them, else in hours.
func span(d time.Duration) string {
	switch {
	case d == day:
		return "1 day"
	case d != 0 && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return hours(d)
}

func hours(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.Round(time.Second).String()
}
