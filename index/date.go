package index

import (
	"strconv"
	"strings"
	"time"
)

const day = "2006-01-02"

const minYear = 1000

// parseDates reads "2001", "2001-10", "2001-10-23", "today", "yesterday" or "30d" (that many days ago) as the days it covers: from the first up to
// but without the second. It reports false for anything else.
func parseDates(s string, now time.Time) (from, until time.Time, ok bool) {
	today := midnight(now)
	switch s {
	case "today":
		return today, today.AddDate(0, 0, 1), true
	case "yesterday":
		return today.AddDate(0, 0, -1), today, true
	}
	if n, found := strings.CutSuffix(s, "d"); found {
		days, err := strconv.ParseUint(n, 10, 16)
		from = today.AddDate(0, 0, -int(days))
		return from, from.AddDate(0, 0, 1), err == nil
	}
	for _, l := range []struct {
		layout              string
		years, months, days int
	}{{day, 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if from, err := time.Parse(l.layout, s); err == nil && from.Year() >= minYear {
			return from, from.AddDate(l.years, l.months, l.days), true
		}
	}
	return time.Time{}, time.Time{}, false
}

func midnight(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// shortDay writes the first day of a year or month by that year or month: before:2001 and before:2001-01-01 are the same query.
func shortDay(t time.Time) string {
	switch {
	case t.Day() > 1:
		return t.Format(day)
	case t.Month() > time.January:
		return t.Format("2006-01")
	}
	return year(t)
}

// dayBefore writes the last day before t, or the year or month that ends there: after:2001 and after:2001-12-31 are the same query.
func dayBefore(t time.Time) string {
	switch {
	case t.Day() > 1:
		return t.AddDate(0, 0, -1).Format(day)
	case t.Month() > time.January:
		return t.AddDate(0, -1, 0).Format("2006-01")
	}
	return year(t.AddDate(-1, 0, 0))
}

func span(from, until time.Time) string {
	switch {
	case from.AddDate(1, 0, 0).Equal(until) && from.YearDay() == 1:
		return year(from)
	case from.AddDate(0, 1, 0).Equal(until) && from.Day() == 1:
		return from.Format("2006-01")
	}
	return from.Format(day)
}

func year(t time.Time) string { return t.Format("2006") }
