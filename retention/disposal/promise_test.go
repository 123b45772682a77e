package disposal_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"escrow/retention/disposal"
)

// TestPromise compares the numbers of docs/privacy/erasure.md with what the pipeline does.
func TestPromise(t *testing.T) {
	raw, err := os.ReadFile("../../docs/privacy/erasure.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(raw)), " ")
	terms := disposal.DefaultTerms()
	for _, says := range []string{
		fmt.Sprintf("(%d hours unless you chose otherwise, 0 to %d days)", terms.CoolingOff/time.Hour, disposal.MaxCoolingOff/dayLong),
		fmt.Sprintf("(%d unless you chose otherwise)", terms.KeepRoots/dayLong),
		fmt.Sprintf("B = %d + K + W days", disposal.IndexTime/dayLong),
		fmt.Sprintf("%d hours are set aside", disposal.IndexTime/time.Hour),
		fmt.Sprintf("exceeds %d days from approval", disposal.MaxErasureTime/dayLong),
	} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	rows := regexp.MustCompile(`(?m)^ *\| [^|]+ \| (\d+)[^|]* \| (\d+) \| (\d+) \|$`).FindAllStringSubmatch(string(raw), -1)
	if len(rows) != 3 {
		t.Fatalf("%d rows of root stores, want 3", len(rows))
	}
	for _, row := range rows {
		for i, k := range map[int]time.Duration{2: 7, 3: 1} {
			w, _ := strconv.Atoi(row[1])
			total := disposal.Terms{KeepRoots: k * dayLong, Wait: time.Duration(w) * dayLong}.Total()
			if want := strconv.Itoa(int(total / dayLong)); row[i] != want {
				t.Errorf("row %q: B is %s with K = %d, want %s", row[0], row[i], k, want)
			}
		}
	}
}
