package ingest

import (
	"strconv"
	"strings"
	"time"
)

// mailDate reads the date of a mail, as RFC 5322 has it and as mailers wrote it: without weekday, with the month first, two-digit years, ISO 8601,
// zone names, comments, dots between hours and minutes. It does not depend on the local zone, as time.Parse does. A date without a zone is taken for
// UTC. The result is in UTC; false if it cannot be read.
func mailDate(s string) (time.Time, bool) {
	d := dateReader{day: -1, year: -1, hour: -1}
	if i := strings.IndexByte(s, '('); i > 0 {
		d.name(strings.Trim(s[i:], "() "))
		d.zoned, s = false, s[:i] // a number says the same, and better
	}
	const separators = " \t\r\n,;"
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if !d.word(word) {
			return time.Time{}, false
		}
	}
	return d.time()
}

// dateReader collects the elements of a date in whatever order they come.
type dateReader struct {
	day, month, year int
	hour, min, sec   int
	offset           int // seconds east of Greenwich
	zoned            bool
	afternoon        int // 12 for PM, -12 for 12 AM
}

// word takes one word; false if it makes no sense.
func (d *dateReader) word(w string) bool {
	switch {
	case w[0] == '+' || w[0] == '-' && d.hour >= 0:
		return d.zone(w)
	case d.hour < 0 && strings.ContainsAny(w, ":"):
		return d.clockOrISO(w)
	case strings.Count(w, ".") == 2 && d.hour < 0 && d.year >= 0:
		return d.clock(strings.ReplaceAll(w, ".", ":"))
	case strings.ContainsAny(w, "-/.") && d.day < 0 && d.year < 0:
		return d.parts(w)
	}
	if n, err := strconv.Atoi(w); err == nil {
		return d.number(n, len(w))
	}
	return d.name(w)
}

// clockOrISO reads 15:04:05, with a zone attached or not, or 2006-01-02T15:04:05Z.
func (d *dateReader) clockOrISO(w string) bool {
	if i := strings.IndexByte(w, 'T'); i > 0 && d.day < 0 {
		return d.parts(w[:i]) && d.clock(w[i+1:])
	}
	return d.clock(w)
}

func (d *dateReader) clock(w string) bool {
	if i := strings.LastIndexAny(w, "+-"); i > 0 {
		if !d.zone(w[i:]) {
			return false
		}
		w = w[:i]
	}
	if i := strings.IndexFunc(w, func(r rune) bool { return r >= 'A' && r <= 'z' }); i > 0 {
		if !d.name(w[i:]) {
			return false
		}
		w = w[:i]
	}
	w, _, _ = strings.Cut(w, ".") // fractions of a second
	hms := strings.Split(w, ":")
	if len(hms) < 2 || len(hms) > 3 {
		return false
	}
	for i, target := range []*int{&d.hour, &d.min, &d.sec}[:len(hms)] {
		n, err := strconv.Atoi(hms[i])
		if err != nil || n < 0 {
			return false
		}
		*target = n
	}
	return true
}

// parts reads 2006-01-02, 02-Jan-2006, 02.01.2006, and 01/02/2006 as Americans write it.
func (d *dateReader) parts(w string) bool {
	f := strings.FieldsFunc(w, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(f) == 1 { // "Mon." or "12."
		return d.word(f[0])
	}
	if len(f) != 3 {
		return false
	}
	if m := monthNamed(f[1]); m > 0 {
		f[1] = strconv.Itoa(m)
	}
	var n [3]int
	for i := range f {
		var err error
		if n[i], err = strconv.Atoi(f[i]); err != nil {
			return false
		}
	}
	switch {
	case len(f[0]) == 4:
		d.year, d.month, d.day = n[0], n[1], n[2]
	case strings.ContainsRune(w, '/'):
		d.month, d.day, d.year = n[0], n[1], fullYear(n[2], len(f[2]))
	default:
		d.day, d.month, d.year = n[0], n[1], fullYear(n[2], len(f[2]))
	}
	return true
}

func (d *dateReader) number(n, digits int) bool {
	switch {
	case n < 0:
		return false
	case d.day < 0 && digits <= 2:
		d.day = n
	case d.year < 0:
		d.year = fullYear(n, digits)
	case !d.zoned && digits == 4 && d.hour >= 0: // a zone without its sign
		return d.zone("+" + strconv.Itoa(n))
	default:
		return false
	}
	return true
}

// fullYear follows RFC 5322, section 4.3.
func fullYear(n, digits int) int {
	switch {
	case digits >= 4:
		return n
	case digits == 2 && n < 50:
		return n + 2000
	}
	return n + 1900
}

// zone reads +0200, +02:00 or +2.
func (d *dateReader) zone(w string) bool {
	n, err := strconv.Atoi(strings.ReplaceAll(w[1:], ":", ""))
	if err != nil || n < 0 || n > 9999 || d.zoned {
		return err == nil && d.zoned
	}
	if len(w) <= 3 {
		n *= 100
	}
	d.offset, d.zoned = (n/100*60+n%100)*60, true
	if n/100 > 24 || n%100 > 59 { // nonsense, as spammers write it: the clock is all there is
		d.offset = 0
	}
	if w[0] == '-' {
		d.offset = -d.offset
	}
	return true
}

// name reads a weekday, a month, a zone or AM and PM.
func (d *dateReader) name(w string) bool {
	w = strings.ToUpper(strings.Trim(w, ".\"'"))
	if m := monthNamed(w); m > 0 && d.month == 0 {
		d.month = m
		return true
	}
	hours, known := zoneNamed(w)
	switch {
	case known && !d.zoned:
		d.offset, d.zoned = int(hours*3600), true
	case strings.HasPrefix(w, "GMT+") || strings.HasPrefix(w, "GMT-") || strings.HasPrefix(w, "UTC+") || strings.HasPrefix(w, "UTC-"):
		return d.zone(w[3:])
	case w == "PM":
		d.afternoon = 12
	case w == "AM":
		d.afternoon = -12
	default:
		return known || d.hour < 0 || d.zoned // weekdays in any language come first; what follows the zone repeats it
	}
	return true
}

func monthNamed(w string) int {
	const months = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	if len(w) < 3 {
		return 0
	}
	i := strings.Index(months, strings.ToUpper(w[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return i/3 + 1
}

// zoneNamed knows the zone names of RFC 5322 and the ones mailers wrote most.
func zoneNamed(w string) (hours float64, known bool) {
	switch w {
	case "UT", "UTC", "GMT", "Z", "WET", "-0000":
		return 0, true
	case "BST", "CET", "MET", "MEZ", "WEST":
		return 1, true
	case "CEST", "MEST", "MESZ", "EET", "SAST":
		return 2, true
	case "EEST", "MSK":
		return 3, true
	case "MSD":
		return 4, true
	case "IST":
		return 5.5, true
	case "SGT", "HKT", "AWST":
		return 8, true
	case "JST", "KST":
		return 9, true
	case "AEST":
		return 10, true
	case "AEDT":
		return 11, true
	case "NZST":
		return 12, true
	case "NZDT":
		return 13, true
	case "ADT", "BRT":
		return -3, true
	case "EDT", "AST":
		return -4, true
	case "EST", "CDT":
		return -5, true
	case "CST", "MDT":
		return -6, true
	case "MST", "PDT":
		return -7, true
	case "PST", "AKDT":
		return -8, true
	case "AKST":
		return -9, true
	case "HST":
		return -10, true
	}
	return 0, false
}

// time checks the elements and puts them together.
func (d *dateReader) time() (time.Time, bool) {
	if d.day < 1 || d.day > 31 || d.month < 1 || d.month > 12 || d.year < 1 || d.year > 9998 {
		return time.Time{}, false
	}
	if d.afternoon > 0 && d.hour < 12 || d.afternoon < 0 && d.hour == 12 {
		d.hour += d.afternoon
	}
	hour := max(d.hour, 0)
	if hour > 24 || d.min > 59 || d.sec > 60 {
		return time.Time{}, false
	}
	t := time.Date(d.year, time.Month(d.month), d.day, hour, d.min, d.sec, 0, time.UTC)
	if t.Day() != d.day && hour < 24 {
		return time.Time{}, false // 31 February
	}
	return t.Add(-time.Duration(d.offset) * time.Second), true
}
