package ingest

import (
	"mime"
	"strings"
	"unicode/utf8"

	"escrow"
)

// cloudEvent is the part of a CloudEvent (CloudEvents 1.0.2, JSON format and NATS binding) that matters here. Extensions are archived with the original.
type cloudEvent struct {
	specversion, id, source, kind, subject, time, dataType string
}

// IsCloudEvent reports whether a publish is a CloudEvent: structured by its content type, or binary by its Ce-Specversion header.
func IsCloudEvent(contentType string, header map[string][]string) bool {
	return contentType == TypeCloudEvent || (contentType == TypeJSON || contentType == "") && first(header, "ce-specversion") != ""
}

// ParseCloudEvent reads a CloudEvent, structured or binary, whose data is a message of the publishing contract. id is source and id of the event, joined by a
// line feed: what the event is known by where the publish has no Nats-Msg-Id. The attributes source, type and subject are added to the metadata as
// "ce-source" and so on, where the message has none of that name, and time stands in for a missing sent_at. Errors are as for ParseContract.
func ParseCloudEvent(contentType string, header map[string][]string, data []byte) (m escrow.Message, id string, err error) {
	const op = "ingest.ParseCloudEvent"
	var ev cloudEvent
	if contentType == TypeCloudEvent {
		m, err = ev.structured(data)
	} else {
		m, err = ev.binary(header, data)
	}
	if err == nil {
		err = ev.check()
	}
	if err == nil {
		err = ev.complete(&m)
	}
	if err != nil {
		return escrow.Message{}, "", asError(op, err)
	}
	return m, ev.source + "\n" + ev.id, nil
}

// structured reads an event whose attributes and data are one JSON object.
func (ev *cloudEvent) structured(data []byte) (m escrow.Message, err error) {
	r, err := newJSONReader(data)
	if err != nil {
		return m, err
	}
	found := 0
	err = r.object(func(key string) (err error) {
		switch key {
		case "data":
			found++
			m, err = r.message()
		case "data_base64":
			found++
			m, err = r.encodedMessage()
		default:
			err = r.attribute(ev, key)
		}
		return inField(key, err)
	})
	switch {
	case err != nil:
	case found != 1:
		err = invalidf("data: there must be either data or data_base64, with a message of the publishing contract in it")
	default:
		err = r.end()
	}
	return m, err
}

// encodedMessage reads a message from a base64 string.
func (r *jsonReader) encodedMessage() (escrow.Message, error) {
	raw, err := r.base64()
	if err != nil {
		return escrow.Message{}, err
	}
	m, err := parseWhole(raw)
	if err == nil && len(m.Mentions) > 0 {
		err = inField("mentions", invalidf("a passage cannot be taken out of base64 when the person is erased; send the message in data"))
	}
	return m, err
}

// attribute reads one context attribute; extensions are skipped.
func (r *jsonReader) attribute(ev *cloudEvent, key string) (err error) {
	target := ev.named(key)
	if target == nil {
		return r.skip()
	}
	*target, err = r.boundedText(1, escrow.MaxIDBytes)
	return err
}

// named returns where an attribute is kept, nil for an extension.
func (ev *cloudEvent) named(key string) *string {
	switch key {
	case "specversion":
		return &ev.specversion
	case "id":
		return &ev.id
	case "source":
		return &ev.source
	case "type":
		return &ev.kind
	case "subject":
		return &ev.subject
	case "time":
		return &ev.time
	case "datacontenttype":
		return &ev.dataType
	}
	return nil
}

// binary reads an event whose attributes are headers and whose data is the payload.
func (ev *cloudEvent) binary(header map[string][]string, data []byte) (escrow.Message, error) {
	for name, values := range header {
		key, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		target := ev.named(key)
		if !ok || target == nil || len(values) == 0 {
			continue
		}
		*target = string(percentDecode(strings.TrimSpace(values[0])))
		switch {
		case len(*target) > escrow.MaxIDBytes:
			return escrow.Message{}, invalidf("ce-%s: has %d bytes, the limit is %d", key, len(*target), escrow.MaxIDBytes)
		case !utf8.ValidString(*target):
			return escrow.Message{}, invalidf("ce-%s: is not valid UTF-8", key)
		}
	}
	return parseWhole(data)
}

// check verifies the required attributes (CloudEvents 1.0.2, section 3).
func (ev *cloudEvent) check() error {
	for _, a := range [...]struct{ name, value string }{{"specversion", ev.specversion}, {"id", ev.id}, {"source", ev.source}, {"type", ev.kind}} {
		if a.value == "" {
			return invalidf("%s: is missing; CloudEvents 1.0 requires it", a.name)
		}
		if strings.ContainsFunc(a.value, isControl) {
			return invalidf("%s: must not contain control characters", a.name)
		}
	}
	if ev.specversion != "1.0" {
		return invalidf("specversion: must be 1.0")
	}
	if ev.dataType != "" {
		if t, _, err := mime.ParseMediaType(ev.dataType); err != nil || t != TypeJSON {
			return invalidf("datacontenttype: must be %s", TypeJSON)
		}
	}
	return nil
}

// complete adds what the attributes say and the message does not.
func (ev *cloudEvent) complete(m *escrow.Message) error {
	if m.SentAt.IsZero() && ev.time != "" {
		t, err := parseTime(ev.time)
		if err != nil {
			return inField("time", err)
		}
		m.SentAt = t
	}
	for _, a := range [...]struct{ name, value string }{{"ce-source", ev.source}, {"ce-type", ev.kind}, {"ce-subject", ev.subject}} {
		if _, taken := m.Metadata[a.name]; taken || a.value == "" || len(m.Metadata) >= escrow.MaxMetadata {
			continue
		}
		if m.Metadata == nil {
			m.Metadata = make(map[string]string)
		}
		m.Metadata[a.name] = a.value
	}
	return nil
}
