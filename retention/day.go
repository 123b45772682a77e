package retention

import "time"

// Day is a day in UTC, counted from 1970-01-01 = 0. It is the leaf number in the key tree of a retention class, and of the ingest days.
type Day uint32

const secondsPerDay = 24 * 60 * 60

// DayOf returns the day in UTC on which t falls; times outside 1970-01-01 … 9999-12-31 give the first and the last day.
func DayOf(t time.Time) Day {
	s := t.Unix()
	if s < 0 {
		return 0
	}
	return Day(min(s/secondsPerDay, int64(MaxDay)))
}

// Time returns the first instant of the day, in UTC.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// String returns the day as 2006-01-02.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// Over reports whether the whole day lies before now: only then may what is due on it be destroyed.
func (d Day) Over(now time.Time) bool { return DayOf(now) > d }

// Month returns the month of d as "YYYYMM". The index is partitioned by the month in which messages fall due, so that whole partitions fall away.
func Month(d Day) string { return d.Time().Format("200601") }
