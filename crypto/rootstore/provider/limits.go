package provider

import "time"

const (
	defaultTimeout = 10 * time.Second // for one call; a key service answers in less than a second
	maxTimeout     = 60 * time.Second // whoever changes the key state has one minute for all stores

	maxTokenBytes = 64 << 10 // a token or certificate file; the largest in use are a few KiB
)

// pauses are between the attempts of a call that may be repeated. Three attempts within two seconds survive a restart of one server behind a balancer.
var pauses = []time.Duration{200 * time.Millisecond, 1500 * time.Millisecond}
