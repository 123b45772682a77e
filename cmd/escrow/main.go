// Command escrow is the whole archive in one program: the service, its officers' and operators' command line, and a demonstration.
//
// Exit codes: 0 ok, 1 failure, 2 usage or invalid input, 3 verification failed, 4 not found or erased, 5 denied, 6 blocked (hold, statute, approval),
// 7 partial, 8 unavailable, 9 index behind, 130 interrupted.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := undumpable(); err != nil {
		fmt.Fprintf(os.Stderr, "escrow: core dumps cannot be turned off, so keys may reach the disk if the program fails: %v\n", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
