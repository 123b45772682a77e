package ingest

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// eachParallel calls f for 0 … n-1 on all cores and returns the first error.
func eachParallel(ctx context.Context, n int, f func(i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(i)
		})
	}
	return group.Wait()
}
