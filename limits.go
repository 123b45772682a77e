package escrow

// Limits on everything that comes from outside, each with its reason. All are inclusive.
const (
	// MaxTokenBytes bounds tenant and channel names: they are NATS subject tokens and appear in every subject.
	MaxTokenBytes = 64
	// MaxIDBytes bounds message ids and conversations, by the publishing contract.
	MaxIDBytes = 512
	// MaxIdentityBytes bounds an identity; the longest legal mail address has 254.
	MaxIdentityBytes = 512
	// MaxNameBytes bounds a display name; longer ones are an attack on a screen or an index.
	MaxNameBytes = 1024
	// MaxParticipants bounds the readers of one message, by the publishing contract.
	MaxParticipants = 10_000
	// MaxAttachments bounds the attachments of one message, by the publishing contract.
	MaxAttachments = 256
	// MaxMentions bounds the marked passages of one message, by the publishing contract: more than any chat client offers to mark.
	MaxMentions = 1000
	// MaxMentionKeys bounds the people mentioned times the participants of one message: each of the former may need a key with each of the latter.
	MaxMentionKeys = 1 << 16
	// MaxTextBytes bounds readable text per message, by the publishing contract.
	MaxTextBytes = 16 << 20
	// MaxTags bounds the tags of one message, MaxTagBytes each of them.
	MaxTags = 256
	// MaxTagBytes bounds one tag.
	MaxTagBytes = 128
	// MaxMetadata bounds the metadata entries of one message.
	MaxMetadata = 256
	// MaxMetadataBytes bounds one metadata key or value.
	MaxMetadataBytes = 64 << 10
	// MaxPayload bounds one publish by a platform (payload only), by the publishing contract.
	MaxPayload = 8 << 20
	// MaxImport bounds one imported message: mail servers accept up to about 50 MB, and it must still fit several times into memory.
	MaxImport = 64 << 20
)
