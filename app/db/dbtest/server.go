//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"portico/app/db/private"
)

// Server is a PostgreSQL server for tests, with its data in a temporary folder.
type Server struct {
	URL    string // of a database that always exists
	server *private.Server
	dir    string
}

// Serve starts a server for tests: quick, not durable. Its data are in memory where there is room, unless disk is set, for more
// than fits there. Output is shown what takes time, an installation for one.
func Serve(ctx context.Context, output io.Writer, disk bool) (*Server, error) {
	parent := tempDir()
	if disk {
		parent = os.TempDir()
	}
	sweep(ctx, parent)
	dir, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the test server: %w", err)
	}
	server, err := private.Start(ctx, private.Options{Dir: dir, Output: output, Fast: true})
	if err != nil {
		return nil, errors.Join(err, private.Remove(context.WithoutCancel(ctx), dir))
	}
	return &Server{URL: server.URL("postgres"), server: server, dir: dir}, nil
}

// Stop ends the server and removes all it made.
func (s *Server) Stop() error {
	return errors.Join(s.server.Stop(), private.Remove(context.Background(), s.dir))
}

const (
	tempPrefix = "portico-dbtest-"
	// roomBytes is what the tests' databases may need at most.
	roomBytes = 2 << 30
)

// memory is Linux's folder of files in memory, where a database is cloned several times faster than on a disk.
const memory = "/dev/shm"

// tempDir is in memory where there is room for it, and the folder for temporary files otherwise.
func tempDir() string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(memory, &stat); err == nil && uint64(stat.Bavail)*uint64(stat.Bsize) >= roomBytes {
		return memory
	}
	return os.TempDir()
}

// sweep removes what earlier tests left that were killed outright. A folder in use is locked by its user; one that was made
// just now may not be yet.
func sweep(ctx context.Context, parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
			continue
		}
		// In use, or not to be removed by us: either way it harms nobody here.
		_ = private.Remove(ctx, dir)
	}
}
