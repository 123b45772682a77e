package retention_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"escrow"
	"escrow/retention"
)

func parse(t *testing.T, s string) retention.Schedule {
	t.Helper()
	schedule, err := retention.ParseSchedule([]byte(s))
	if err != nil {
		t.Fatalf("ParseSchedule(%s): %v", s, err)
	}
	return schedule
}

func TestParseSchedule(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []retention.Class
	}{
		{"empty object", `{}`, []retention.Class{{"default", 0, 3650}}},
		{"no classes", `{"classes": []}`, []retention.Class{{"default", 0, 3650}}},
		{"default is added", `{"classes": [{"name": "chat", "number": 3, "days": 30}]}`, []retention.Class{{"default", 0, 3650}, {"chat", 3, 30}}},
		{"default may be changed", `{"classes": [{"name": "default", "number": 0, "days": 1}]}`, []retention.Class{{"default", 0, 1}}},
		{"sorted by number", `{"classes": [{"name": "b", "number": 9, "days": 36525}, {"name": "a", "number": 10, "days": 1},
			{"name": "c", "number": 65535, "days": 2}, {"name": "default", "number": 0, "days": 5}]}`,
			[]retention.Class{{"default", 0, 5}, {"b", 9, 36525}, {"a", 10, 1}, {"c", 65535, 2}}},
		{"white space around", " \n{}\n ", []retention.Class{{"default", 0, 3650}}},
		{"retired beside", `{"classes": [{"name": "a", "number": 2, "days": 1}], "retired": [1, 3, 3]}`,
			[]retention.Class{{"default", 0, 3650}, {"a", 2, 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parse(t, tt.in).Classes()); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	class := func(fields string) string { return `{"classes": [` + fields + `]}` }
	tests := []struct {
		name string
		in   string
		says string
	}{
		{"nothing", ``, "read the schedule"},
		{"not an object", `[]`, "read the schedule"},
		{"cut off", `{"classes": [`, "read the schedule"},
		{"unknown field", `{"rules": []}`, `unknown field "rules"`},
		{"unknown field in a class", class(`{"name": "a", "number": 1, "days": 1, "years": 1}`), `unknown field "years"`},
		{"something after it", `{} {}`, "something after"},
		{"rubbish after it", `{} x`, "something after"},
		{"no name", class(`{"number": 1, "days": 1}`), "class 1 of the list"},
		{"bad name", class(`{"name": "Ten Years", "number": 1, "days": 1}`), "class 1 of the list"},
		{"no number", class(`{"name": "a", "days": 1}`), `has no "number"`},
		{"no days", class(`{"name": "a", "number": 1}`), `has no "days"`},
		{"negative number", class(`{"name": "a", "number": -1, "days": 1}`), "number"},
		{"number too large", class(`{"name": "a", "number": 65536, "days": 1}`), "number"},
		{"zero days", class(`{"name": "a", "number": 1, "days": 0}`), "must be 1 to 36525"},
		{"negative days", class(`{"name": "a", "number": 1, "days": -1}`), "must be 1 to 36525"},
		{"too many days", class(`{"name": "a", "number": 1, "days": 36526}`), "must be 1 to 36525"},
		{"half a day", class(`{"name": "a", "number": 1, "days": 1.5}`), "days"},
		{"days in words", class(`{"name": "a", "number": 1, "days": "ten"}`), "days"},
		{"same name", class(`{"name": "a", "number": 1, "days": 1}, {"name": "a", "number": 2, "days": 1}`), `class "a" is there twice`},
		{"same number", class(`{"name": "a", "number": 1, "days": 1}, {"name": "b", "number": 1, "days": 1}`), `"a" and "b" both have number 1`},
		{"number 0 for another", class(`{"name": "a", "number": 0, "days": 1}`), `belongs to "default"`},
		{"another number for default", class(`{"name": "default", "number": 4, "days": 1}`), `belongs to "default"`},
		{"retired number", `{"classes": [{"name": "a", "number": 7, "days": 1}], "retired": [7]}`, "is retired"},
		{"retired default", `{"retired": [0]}`, "is retired"},
		{"too long", `{}` + strings.Repeat(" ", retention.MaxScheduleBytes), "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := retention.ParseSchedule([]byte(tt.in))
			if escrow.KindOf(err) != escrow.Invalid || err == nil {
				t.Fatalf("ParseSchedule = %v, want an error of kind invalid", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error %q does not say %q", err, tt.says)
			}
		})
	}
}

func TestParseScheduleBoundsClasses(t *testing.T) {
	list := func(n int) string {
		var classes []string
		for i := 1; i <= n; i++ {
			classes = append(classes, fmt.Sprintf(`{"name": "c%d", "number": %d, "days": 1}`, i, i))
		}
		return `{"classes": [` + strings.Join(classes, ",") + `]}`
	}
	if got := len(parse(t, list(retention.MaxClasses)).Classes()); got != retention.MaxClasses+1 {
		t.Errorf("%d classes, want the %d of the list and the default", got, retention.MaxClasses)
	}
	if _, err := retention.ParseSchedule([]byte(list(retention.MaxClasses + 1))); escrow.KindOf(err) != escrow.Invalid || err == nil {
		t.Errorf("one class too many: %v, want an error of kind invalid", err)
	}
}

func TestClass(t *testing.T) {
	s := parse(t, `{"classes": [{"name": "chat", "number": 3, "days": 30}]}`)
	for _, name := range []string{"", "default"} {
		if got, err := s.Class(name); err != nil || got != retention.DefaultClass() {
			t.Errorf("Class(%q) = %v, %v, want the default class", name, got, err)
		}
	}
	if got, err := s.Class("chat"); err != nil || got != (retention.Class{Name: "chat", Number: 3, Days: 30}) {
		t.Errorf(`Class("chat") = %v, %v`, got, err)
	}
	if _, err := s.Class("mail"); escrow.KindOf(err) != escrow.NotFound || !strings.Contains(err.Error(), `"mail"`) {
		t.Errorf(`Class("mail"): %v, want an error of kind not found that names it`, err)
	}
}

func TestZeroSchedule(t *testing.T) {
	var s retention.Schedule
	if got, err := s.Class(""); err != nil || got != retention.DefaultClass() {
		t.Errorf(`Class("") = %v, %v, want the default class`, got, err)
	}
	if diff := cmp.Diff([]retention.Class{retention.DefaultClass()}, s.Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if err := parse(t, `{}`).Follows(s); err != nil {
		t.Errorf("Follows: %v", err)
	}
}

func TestClassesIsACopy(t *testing.T) {
	s := parse(t, `{}`)
	s.Classes()[0].Days = 1
	if got := s.Classes()[0]; got != retention.DefaultClass() {
		t.Errorf("changing the returned slice changed the schedule: %v", got)
	}
}

func TestFollows(t *testing.T) {
	const old = `{"classes": [{"name": "chat", "number": 3, "days": 30}], "retired": [2]}`
	tests := []struct {
		name string
		new  string
		says string // "" if it may follow
	}{
		{"the same", old, ""},
		{"another period", `{"classes": [{"name": "chat", "number": 3, "days": 60}], "retired": [2]}`, ""},
		{"one more class", `{"classes": [{"name": "chat", "number": 3, "days": 30}, {"name": "sms", "number": 4, "days": 1}], "retired": [2]}`, ""},
		{"a class retired", `{"retired": [2, 3]}`, ""},
		{"a class gone", `{"retired": [2]}`, `class "chat" is missing`},
		{"another name for a number", `{"classes": [{"name": "sms", "number": 3, "days": 30}], "retired": [2]}`, "never reused"},
		{"another number for a name", `{"classes": [{"name": "chat", "number": 5, "days": 30}], "retired": [2]}`, `class "chat" is missing`},
		{"a retired number forgotten", `{"classes": [{"name": "chat", "number": 3, "days": 30}]}`, "number 2 is retired"},
		{"a retired number reused", `{"classes": [{"name": "chat", "number": 3, "days": 30}, {"name": "sms", "number": 2, "days": 1}]}`, "number 2 is retired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := parse(t, tt.new).Follows(parse(t, old))
			if tt.says == "" {
				if err != nil {
					t.Errorf("Follows: %v, want none", err)
				}
				return
			}
			if escrow.KindOf(err) != escrow.Conflict || err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Follows: %v, want a conflict that says %q", err, tt.says)
			}
		})
	}
}

func TestScheduleInConfiguration(t *testing.T) {
	type config struct {
		Retention retention.Schedule `json:"retention"`
	}
	tests := map[string]string{
		`{}`:                  `{"retention":{"classes":[{"name":"default","number":0,"days":3650}]}}`,
		`{"retention": null}`: `{"retention":{"classes":[{"name":"default","number":0,"days":3650}]}}`,
		`{"retention": {"classes": [{"name": "a", "number": 2, "days": 7}], "retired": [9, 1]}}`: `{"retention":{"classes":[{"name":"default",` +
			`"number":0,"days":3650},{"name":"a","number":2,"days":7}],"retired":[1,9]}}`,
	}
	for in, want := range tests {
		var c config
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Errorf("unmarshal %s: %v", in, err)
			continue
		}
		got, err := json.Marshal(c)
		if err != nil || string(got) != want {
			t.Errorf("marshal of %s = %s, %v\nwant %s", in, got, err, want)
		}
	}
	var c config
	if err := json.Unmarshal([]byte(`{"retention": {"classes": [{"name": "a"}]}}`), &c); escrow.KindOf(err) != escrow.Invalid {
		t.Errorf("a bad schedule in a configuration: %v, want kind invalid", err)
	}
}

// Whatever is accepted is written back in one form, which is accepted again and means the same.
func FuzzParseSchedule(f *testing.F) {
	f.Add([]byte(`{"classes": [{"name": "chat", "number": 3, "days": 30}], "retired": [2]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := retention.ParseSchedule(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		again, err := retention.ParseSchedule(written)
		if err != nil {
			t.Fatalf("ParseSchedule(%s): %v", written, err)
		}
		if diff := cmp.Diff(s.Classes(), again.Classes()); diff != "" {
			t.Errorf("not the same after writing (-want +got):\n%s", diff)
		}
		if err := again.Follows(s); err != nil {
			t.Errorf("a schedule does not follow itself: %v", err)
		}
	})
}
