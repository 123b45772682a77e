package bench

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"escrow"
	"escrow/internal/vfs"
)

// machine describes what everything is measured on.
func (b *bench) machine() (Report, error) {
	latencies, err := b.syncLatencies()
	if err != nil {
		return Report{}, err
	}
	return Report{
		CPU: runtime.GOMAXPROCS(0), Load: b.load(),
		FsyncMS: milliseconds(quantile(latencies, 0.5)), FsyncP99: milliseconds(quantile(latencies, 0.99)),
	}, nil
}

// syncLatencies returns how long small writes with sync take.
func (b *bench) syncLatencies() (latencies []time.Duration, err error) {
	name := filepath.Join(b.cfg.Dir, "probe")
	f, err := b.cfg.FS.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	defer func() {
		if closing := errors.Join(f.Close(), b.cfg.FS.Remove(name)); closing != nil && err == nil {
			err = diskError(closing)
		}
	}()
	data := make([]byte, smallBytes)
	for range syncProbes {
		start := b.cfg.Now()
		if _, err := f.Write(data); err != nil {
			return nil, diskError(err)
		}
		if err := f.Sync(); err != nil {
			return nil, diskError(err)
		}
		latencies = append(latencies, b.cfg.Now().Sub(start))
	}
	return latencies, nil
}

func diskError(err error) error {
	return escrow.Errorf("bench.Run", escrow.Unavailable, "the directory of the measurement: %w", err)
}

// quantile returns the value below which a share q of the durations lies. It sorts them.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)]
}

// maxLoadFile bounds the line the kernel writes.
const maxLoadFile = 1 << 10

// load returns the load average of the last minute, -1 where the system does not tell.
func (b *bench) load() float64 {
	text, err := vfs.ReadFile(b.cfg.FS, "/proc/loadavg", maxLoadFile)
	if err != nil {
		return -1
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return -1
	}
	return load
}
