package retention

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"escrow"
)

// Class is a period for which messages are kept.
type Class struct {
	Name   string // as publishers, officers and ledger leaves write it: [a-z0-9][a-z0-9_-]{0,63}
	Number uint16 // as sealed messages and the key state know it; belongs to this class for ever
	Days   int    // MinDays … MaxDays
}

// DefaultClass returns the class of messages for which nothing else is said: "default", number 0, 3650 days.
func DefaultClass() Class { return Class{Name: "default", Number: 0, Days: 3650} }

// Due returns the last day on which a message received at that time is kept. It becomes unreadable when that day is Over.
func (c Class) Due(received time.Time) Day {
	return min(DayOf(received)+Day(c.Days), MaxDay)
}

// Schedule is the set of classes in force. It is immutable and safe for concurrent use; the zero Schedule has the default class only.
type Schedule struct {
	classes []Class  // sorted by number, never without the default class, or nil
	retired []uint16 // sorted numbers of classes there were once
}

// scheduleJSON is the written form: {"classes": [{"name": "letters", "number": 1, "days": 2190}], "retired": [2]}.
type scheduleJSON struct {
	Classes []classJSON `json:"classes"`
	Retired []uint16    `json:"retired,omitempty"`
}

// classJSON has pointers where leaving a field out and writing zero must not be the same.
type classJSON struct {
	Name   string  `json:"name"`
	Number *uint16 `json:"number"`
	Days   *int    `json:"days"`
}

// ParseSchedule reads a schedule from JSON (docs/retention.md): an object with "classes", each with "name", "number" and "days", and optionally "retired", the
// numbers of classes that existed once and must never be given out again. The default class is added if the list does not name it. Unknown fields
// and anything after the object are refused. Errors are of kind Invalid and say which class is wrong and what to write instead.
func ParseSchedule(data []byte) (Schedule, error) {
	if len(data) > MaxScheduleBytes {
		return Schedule{}, invalid("the schedule has %d bytes, at most %d are allowed", len(data), MaxScheduleBytes)
	}
	var in scheduleJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return Schedule{}, invalid("read the schedule: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Schedule{}, invalid("there is something after the schedule's closing brace; remove it")
	}
	if len(in.Classes) > MaxClasses {
		return Schedule{}, invalid("%d classes, at most %d are allowed", len(in.Classes), MaxClasses)
	}
	return newSchedule(in)
}

func newSchedule(in scheduleJSON) (Schedule, error) {
	s := Schedule{classes: []Class{}, retired: slices.Compact(slices.Sorted(slices.Values(in.Retired)))}
	for i, c := range in.Classes {
		class, err := c.class(i + 1)
		if err != nil {
			return Schedule{}, err
		}
		if err := s.add(class); err != nil {
			return Schedule{}, err
		}
	}
	if _, ok := s.named(DefaultClass().Name); !ok {
		if err := s.add(DefaultClass()); err != nil {
			return Schedule{}, err
		}
	}
	slices.SortFunc(s.classes, func(a, b Class) int { return cmp.Compare(a.Number, b.Number) })
	return s, nil
}

func (c classJSON) class(position int) (Class, error) {
	if err := escrow.CheckToken("the name", c.Name); err != nil {
		return Class{}, invalid("class %d of the list: %w", position, err)
	}
	switch {
	case c.Number == nil:
		return Class{}, invalid(`class %q has no "number"; give it one that no class ever had`, c.Name)
	case c.Days == nil:
		return Class{}, invalid(`class %q has no "days"; say for how many days to keep its messages`, c.Name)
	case *c.Days < MinDays || *c.Days > MaxDays:
		return Class{}, invalid("class %q: %d days; it must be %d to %d", c.Name, *c.Days, MinDays, MaxDays)
	case (c.Name == DefaultClass().Name) != (*c.Number == DefaultClass().Number):
		return Class{}, invalid("class %q has number %d, but number %d belongs to %q and to no other", c.Name, *c.Number,
			DefaultClass().Number, DefaultClass().Name)
	}
	return Class{Name: c.Name, Number: *c.Number, Days: *c.Days}, nil
}

func (s *Schedule) add(c Class) error {
	for _, other := range s.classes {
		if other.Name == c.Name {
			return invalid("class %q is there twice", c.Name)
		}
		if other.Number == c.Number {
			return invalid("classes %q and %q both have number %d", other.Name, c.Name, c.Number)
		}
	}
	if slices.Contains(s.retired, c.Number) {
		return invalid("class %q has number %d, which is retired: sealed messages may still name it; take another", c.Name, c.Number)
	}
	s.classes = append(s.classes, c)
	return nil
}

// Classes returns a copy of the classes in the order of their numbers, the default class first.
func (s Schedule) Classes() []Class {
	if s.classes == nil {
		return []Class{DefaultClass()}
	}
	return slices.Clone(s.classes)
}

// Class returns the class of that name, the default class for "", and an error of kind NotFound if there is none.
func (s Schedule) Class(name string) (Class, error) {
	if name == "" {
		name = DefaultClass().Name
	}
	if c, ok := s.named(name); ok {
		return c, nil
	}
	return Class{}, escrow.Errorf("retention.Class", escrow.NotFound, "no retention class %q in the schedule", name)
}

func (s Schedule) named(name string) (Class, bool) {
	classes := s.classes
	if classes == nil {
		classes = []Class{DefaultClass()}
	}
	i := slices.IndexFunc(classes, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return Class{}, false
	}
	return classes[i], true
}

// Follows reports whether s may replace old: every number keeps its name, and what falls away is listed as retired and stays so. Periods may
// change. The error is of kind Conflict.
func (s Schedule) Follows(old Schedule) error {
	for _, was := range old.Classes() {
		is, ok := s.numbered(was.Number)
		switch {
		case ok && is.Name != was.Name:
			return conflict("number %d is class %q in the schedule in force and %q in the new one; a number is never reused", was.Number, was.Name, is.Name)
		case !ok && !slices.Contains(s.retired, was.Number):
			return conflict("class %q is missing in the new schedule; if that is meant, add its number %d to retired", was.Name, was.Number)
		}
	}
	for _, n := range old.retired {
		if !slices.Contains(s.retired, n) {
			return conflict("number %d is retired and must stay in the list of retired numbers", n)
		}
	}
	return nil
}

func (s Schedule) numbered(n uint16) (Class, bool) {
	for _, c := range s.Classes() {
		if c.Number == n {
			return c, true
		}
	}
	return Class{}, false
}

// MarshalJSON returns the form ParseSchedule reads, with the default class written out.
func (s Schedule) MarshalJSON() ([]byte, error) {
	out := scheduleJSON{Retired: s.retired}
	for _, c := range s.Classes() {
		out.Classes = append(out.Classes, classJSON{Name: c.Name, Number: &c.Number, Days: &c.Days})
	}
	return json.Marshal(out)
}

// UnmarshalJSON is ParseSchedule, so a Schedule may stand in a configuration.
func (s *Schedule) UnmarshalJSON(data []byte) error {
	parsed, err := ParseSchedule(data)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

func invalid(format string, args ...any) error {
	return escrow.Errorf("retention.ParseSchedule", escrow.Invalid, format, args...)
}

func conflict(format string, args ...any) error {
	return escrow.Errorf("retention.Follows", escrow.Conflict, format, args...)
}
