package ingest

import (
	"strings"
	"unicode/utf8"

	"escrow"
)

// Parse reads one publish: contentType is a media type without parameters ("" is TypeJSON), header the headers of the publish, raw its payload. A
// payload in JSON with a Ce-Specversion header is a binary CloudEvent. For mail the headers Escrow-Conversation, Escrow-Tags and Escrow-Meta-<Name> add to
// what the mail says; its content is never refused. Errors are of kind Invalid, or Unavailable for what is not taken yet. Attachments of a mail share memory
// with raw.
func Parse(contentType string, header map[string][]string, raw []byte) (escrow.Message, error) {
	switch contentType {
	case TypeMail:
		if err := checkMailHeaders(header); err != nil {
			return escrow.Message{}, err
		}
		m := ParseMail(raw)
		addMailHeaders(&m, header)
		return m, nil
	case TypeCloudEvent:
		m, _, err := ParseCloudEvent(contentType, header, raw)
		return m, err
	case TypeJSON, "":
		if err := refuseMailHeaders(header); err != nil {
			return escrow.Message{}, err
		}
		if IsCloudEvent(contentType, header) {
			m, _, err := ParseCloudEvent(contentType, header, raw)
			return m, err
		}
		return ParseContract(raw)
	}
	return escrow.Message{}, escrow.Errorf("ingest.Parse", escrow.Invalid, "Content-Type: must be %s, %s or %s", TypeJSON, TypeMail, TypeCloudEvent)
}

// The headers that add to a raw mail, in lower case.
const (
	headerConversation = "escrow-conversation"
	headerTags         = "escrow-tags"
	headerMeta         = "escrow-meta-"
	headerImport       = "escrow-import" // the intake's own
)

// eachMailHeader calls f for every value of the Escrow- headers, with the name in lower case, until it returns an error.
func eachMailHeader(header map[string][]string, f func(name, value string) error) error {
	for name, values := range header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "escrow-") || lower == headerImport {
			continue
		}
		for _, v := range values {
			if err := f(lower, strings.TrimSpace(v)); err != nil {
				return escrow.Errorf("ingest.Parse", escrow.Invalid, "header %s: %w", shown(name), err)
			}
		}
	}
	return nil
}

// refuseMailHeaders keeps headers that would be ignored from being ignored silently.
func refuseMailHeaders(header map[string][]string) error {
	return eachMailHeader(header, func(string, string) error {
		return invalidf("belongs to raw mail (%s); in JSON use the fields conversation, tags and metadata", TypeMail)
	})
}

// checkMailHeaders returns an error of kind Invalid that names the first Escrow- header that is unknown, malformed or beyond a limit.
func checkMailHeaders(header map[string][]string) error {
	tags, conversations, meta := 0, 0, map[string]int{}
	return eachMailHeader(header, func(name, value string) error {
		if !utf8.ValidString(value) || strings.ContainsFunc(value, isControl) {
			return invalidf("must be UTF-8 without control characters")
		}
		switch key, isMeta := strings.CutPrefix(name, headerMeta); {
		case name == headerConversation:
			conversations++
			return checkConversation(value, conversations)
		case name == headerTags:
			for range tagsIn(value) {
				tags++
			}
			return checkTags(value, tags)
		case isMeta && key != "" && utf8.ValidString(key):
			meta[key] += len(value) + len(", ")
			return checkMeta(meta, key)
		}
		return invalidf("is unknown; known are Escrow-Conversation, Escrow-Tags and Escrow-Meta-<Name>")
	})
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func checkConversation(value string, count int) error {
	switch {
	case count > 1:
		return invalidf("appears twice; a message is in one conversation")
	case value == "" || len(value) > escrow.MaxIDBytes:
		return invalidf("must have 1 to %d bytes, has %d", escrow.MaxIDBytes, len(value))
	}
	return nil
}

func checkTags(value string, count int) error {
	if count > escrow.MaxTags {
		return invalidf("more than %d tags", escrow.MaxTags)
	}
	for _, tag := range tagsIn(value) {
		if len(tag) > escrow.MaxTagBytes {
			return invalidf("a tag has %d bytes, the limit is %d", len(tag), escrow.MaxTagBytes)
		}
	}
	return nil
}

func checkMeta(sizes map[string]int, key string) error {
	switch {
	case len(sizes) > escrow.MaxMetadata:
		return invalidf("more than %d metadata entries", escrow.MaxMetadata)
	case sizes[key]+len(key) > escrow.MaxMetadataBytes:
		return invalidf("name and values have more than %d bytes", escrow.MaxMetadataBytes)
	}
	return nil
}

// tagsIn splits a list of tags at commas.
func tagsIn(value string) []string {
	var tags []string
	for tag := range strings.SplitSeq(value, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// addMailHeaders applies headers that checkMailHeaders accepted. What the publish says wins over what the mail says.
func addMailHeaders(m *escrow.Message, header map[string][]string) {
	for name, values := range header {
		lower := strings.ToLower(name)
		key, isMeta := strings.CutPrefix(lower, headerMeta)
		switch {
		case lower == headerConversation && len(values) > 0:
			m.Conversation = strings.TrimSpace(values[0])
		case lower == headerTags:
			seen := keySet{}
			for _, tag := range tagsIn(strings.Join(values, ",")) {
				if seen.add(tag) {
					m.Tags = append(m.Tags, tag)
				}
			}
		case isMeta:
			if m.Metadata == nil {
				m.Metadata = make(map[string]string)
			}
			m.Metadata[key] = strings.TrimSpace(strings.Join(values, ", "))
		}
	}
}
