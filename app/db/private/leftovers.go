//go:build unix

package private

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clearLeftovers makes the folder as a clean stop leaves it. The caller holds the lock, so nobody else is at work here.
func (c *cluster) clearLeftovers(ctx context.Context) error {
	for _, data := range []string{c.data, c.data + ".new"} {
		if err := endServers(ctx, data, func(pid int) {
			fmt.Fprintf(c.Output, "Ending a PostgreSQL server of an earlier run (process %d)\n", pid)
		}); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(c.data + ".new"); err != nil {
		return fmt.Errorf("remove a half-made cluster: %w", err)
	}
	if err := removeStalePidFile(c.data); err != nil {
		return err
	}
	return c.removeSocketDir()
}

// endServers ends every process of a server that runs on data: gently, then less so.
func endServers(ctx context.Context, data string, say func(pid int)) error {
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	name, err := clusterName(data)
	if err != nil {
		return err
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	var begun time.Time
	said, sent := false, 0
	// SIGINT means a fast, clean stop to the server and no more than a cancelled query to its children; SIGQUIT ends each
	// without ceremony.
	steps := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL}
	for {
		pids, err := serversOf(name, data)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if !said {
			say(pids[0])
			said, begun = true, time.Now()
		}
		if step := int(time.Since(begun) / stopTimeout); step >= len(steps) {
			return fmt.Errorf("a PostgreSQL server still runs on %s and doesn't end (process %d)", data, pids[0])
		} else if sent == step {
			for _, pid := range pids {
				syscall.Kill(pid, steps[step])
			}
			sent++
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end the PostgreSQL server of an earlier run: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// serversOf are the processes of the server on a cluster, and of the initdb that makes it. The server carries the cluster's
// name among its arguments, each child in its title.
func serversOf(name, data string) ([]int, error) {
	lines, err := processes()
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(lines, func(_ int, line string) bool {
		isServer := strings.Contains(line, "postgres -D "+data+" -c ") && strings.Contains(line, " cluster_name="+name+" ")
		isChild := strings.HasPrefix(line, "postgres: "+name+": ")
		isInitdb := strings.Contains(line, "initdb -D "+data+" -U "+Superuser+" ")
		return !isServer && !isChild && !isInitdb
	})
	return slices.Sorted(maps.Keys(lines)), nil
}

// removeStalePidFile removes the pid file of a killed server if its number now belongs to some other process, for then
// PostgreSQL would take that process for the server and refuse to start. In every other case PostgreSQL itself removes
// the file, after a look at the shared memory that it names.
func removeStalePidFile(data string) error {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the server's pid file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a stale pid file: %w", err)
	}
	return nil
}

// The socket lies in a folder of its own with a short path, since the path of a socket is limited to 107 bytes. Which one
// is noted in the data folder, so that it can be removed after a kill.
const (
	socketNote   = "socket"
	socketPrefix = "portico-pg-"
)

func (c *cluster) makeSocketDir() (string, error) {
	// Not os.TempDir: TMPDIR may be long, and closed to the server's account.
	socket, err := os.MkdirTemp("/tmp", socketPrefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for PostgreSQL's socket: %w", err)
	}
	note := filepath.Join(c.dir, socketNote)
	if err := os.WriteFile(note, []byte(socket), 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("note the folder of PostgreSQL's socket: %w", err), os.Remove(socket))
	}
	if err := handOver(note, c.dir); err != nil {
		return "", errors.Join(err, c.removeSocketDir())
	}
	if err := c.account.own(socket); err != nil {
		return "", errors.Join(err, c.removeSocketDir())
	}
	return socket, nil
}

func (c *cluster) removeSocketDir() error { return removeSocketDir(c.dir) }

func removeSocketDir(dir string) error {
	note := filepath.Join(dir, socketNote)
	socket, err := os.ReadFile(note)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the folder of PostgreSQL's socket: %w", err)
	}
	if folder := filepath.Clean(string(socket)); strings.HasPrefix(folder, "/tmp/"+socketPrefix) {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove the folder of PostgreSQL's socket: %w", err)
		}
	}
	if err := os.Remove(note); err != nil {
		return fmt.Errorf("remove the note of PostgreSQL's socket: %w", err)
	}
	return nil
}

// Remove deletes a data folder and all that belongs to it, ending a server that a killed run left there. It fails with
// ErrInUse while another process uses the folder, and does nothing where there is none. A folder that Start never used is
// deleted only if it is empty.
func Remove(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the PostgreSQL data folder: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("find the PostgreSQL data folder: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, lockName)); errors.Is(err, os.ErrNotExist) {
		if err := os.Remove(dir); err != nil {
			return fmt.Errorf("remove the PostgreSQL data folder: %w", err)
		}
		return nil
	}
	lock, err := takeLock(dir)
	if errors.Is(err, os.ErrNotExist) { // removed by somebody else just now
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock(lock)
	home, err := homeOf(dir)
	if err != nil {
		return err
	}
	for _, data := range []string{filepath.Join(home, "data"), filepath.Join(home, "data.new")} {
		if err := endServers(ctx, data, func(int) {}); err != nil {
			return err
		}
	}
	return errors.Join(removeSocketDir(dir), os.RemoveAll(home), os.RemoveAll(dir))
}
