package backup

// Limits, all inclusive.
const (
	// maxManifestBytes bounds a manifest: about 250 bytes for each segment of 64 MiB, so this is enough for 60 TB.
	maxManifestBytes = 256 << 20
	// maxIdentityBytes bounds the file that says whose backup this is.
	maxIdentityBytes = 4 << 10
	// maxKeyStateBytes bounds a sealed key state: 133 MB are known for 10 million people in the worst case.
	maxKeyStateBytes = 1 << 30
	// maxConfigBytes bounds the configuration file.
	maxConfigBytes = 1 << 20
	// chunkBytes is how much is read, compared and written at once.
	chunkBytes = 1 << 20
	// maxAttempts bounds how often keys and ledger are looked at again because the keys changed in between, which happens a few times a day.
	maxAttempts = 5
)
