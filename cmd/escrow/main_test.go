package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"time"

	"escrow/internal/vfs"
)

// testApp is the command's context for tests that work inside this process.
func testApp(dir string) *app {
	return &app{stdio: stdio{os.Stdin, &bytes.Buffer{}, os.Stderr}, dir: dir, now: time.Now, rand: rand.Reader, fs: vfs.OS()}
}
