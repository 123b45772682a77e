package retention_test

import (
	"testing"
	"time"

	"escrow/retention"
)

func TestDayOf(t *testing.T) {
	tests := []struct {
		name string
		time time.Time
		want string
	}{
		{"the epoch", time.Unix(0, 0), "1970-01-01"},
		{"before the epoch is clamped", time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), "1970-01-01"},
		{"one nanosecond before the epoch", time.Unix(0, -1), "1970-01-01"},
		{"last instant of a day", time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC), "2024-02-29"},
		{"first instant of a day", time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC), "2024-03-01"},
		{"the zone does not matter", time.Date(2024, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)), "2023-12-31"},
		{"beyond 32 bits of seconds", time.Date(2038, 1, 20, 0, 0, 0, 0, time.UTC), "2038-01-20"},
		{"the last day", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "9999-12-31"},
		{"after the last day is clamped", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "9999-12-31"},
		{"the zero time is clamped", time.Time{}, "1970-01-01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := retention.DayOf(tt.time).String(); got != tt.want {
				t.Errorf("DayOf(%v) = %s, want %s", tt.time, got, tt.want)
			}
		})
	}
}

func TestDayTimeIsInverse(t *testing.T) {
	for d := retention.Day(0); d <= retention.MaxDay; d += 997 {
		if got := retention.DayOf(d.Time()); got != d {
			t.Fatalf("DayOf(%d.Time()) = %d", d, got)
		}
		if got := retention.DayOf(d.Time().Add(24*time.Hour - 1)); got != d {
			t.Fatalf("DayOf(last instant of %d) = %d", d, got)
		}
	}
}

func TestOver(t *testing.T) {
	due := retention.DayOf(time.Date(2031, 3, 2, 0, 0, 0, 0, time.UTC))
	tests := []struct {
		name string
		now  time.Time
		want bool
	}{
		{"before", time.Date(2031, 3, 1, 12, 0, 0, 0, time.UTC), false},
		{"on the day", time.Date(2031, 3, 2, 0, 0, 0, 0, time.UTC), false},
		{"last instant of the day", time.Date(2031, 3, 2, 23, 59, 59, 999_999_999, time.UTC), false},
		{"after midnight in the east, still the day in UTC", time.Date(2031, 3, 3, 0, 30, 0, 0, time.FixedZone("", 3600)), false},
		{"first instant after", time.Date(2031, 3, 3, 0, 0, 0, 0, time.UTC), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := due.Over(tt.now); got != tt.want {
				t.Errorf("%v.Over(%v) = %v, want %v", due, tt.now, got, tt.want)
			}
		})
	}
}

func TestMonth(t *testing.T) {
	tests := map[string]time.Time{
		"197001": time.Unix(0, 0),
		"202402": time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC),
		"999912": retention.MaxDay.Time(),
	}
	for want, at := range tests {
		if got := retention.Month(retention.DayOf(at)); got != want {
			t.Errorf("Month(%v) = %s, want %s", at, got, want)
		}
	}
}

// A message is never due before its whole period has passed, whatever the time of day at which it came.
func TestDueIsNeverEarly(t *testing.T) {
	midnight := time.Date(2024, 2, 28, 0, 0, 0, 0, time.UTC)
	for _, days := range []int{retention.MinDays, 2, 365, 3650, retention.MaxDays} {
		class := retention.Class{Name: "c", Number: 1, Days: days}
		for _, offset := range []time.Duration{0, 1, 12 * time.Hour, 24*time.Hour - 1} {
			received := midnight.Add(offset)
			due := class.Due(received)
			period := time.Duration(days) * 24 * time.Hour
			if due.Over(received.Add(period)) {
				t.Errorf("%d days, received %v: over on %v, before the period has passed", days, received, due)
			}
			if !due.Over(received.Add(period + 24*time.Hour)) {
				t.Errorf("%d days, received %v: still kept a whole day after the period", days, received)
			}
		}
	}
}

func TestDueStaysInRange(t *testing.T) {
	class := retention.Class{Days: retention.MaxDays}
	if got := class.Due(retention.MaxDay.Time()); got != retention.MaxDay {
		t.Errorf("Due on the last day = %v, want %v", got, retention.MaxDay)
	}
}
