//go:build !linux

package main

import "syscall"

// undumpable keeps what is in the memory of this process out of core files.
func undumpable() error { return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
