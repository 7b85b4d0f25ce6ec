//go:build unix

// Package private runs a PostgreSQL server of our own: one data folder, one unix socket, no network. `portico dev` keeps
// its database in one, and the tests run on one.
//
// Start in this file is the whole story; programs.go finds PostgreSQL or installs it, account.go decides who runs it and
// where the data lie, leftovers.go cleans up after a run that was killed.
package private

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Superuser is the database role that owns everything in a private server. It needs no password: who can enter the
// socket's folder is let in, and that is only who started the server.
const Superuser = "portico"

// MinVersion is the oldest major version of PostgreSQL that will do.
const MinVersion = 14

const (
	port         = "5432" // of the socket's name only: nothing listens on the network
	startTimeout = 2 * time.Minute
	stopTimeout  = 15 * time.Second
	pollInterval = 10 * time.Millisecond
	maxLogBytes  = 10 << 20
)

// Options say where a private server keeps its data and how it runs.
type Options struct {
	// Dir is the data folder, made where missing: the cluster, the server's log and the lock lie in it. Run as root, the
	// cluster may lie elsewhere, with a link to it in Dir (see Start).
	Dir string
	// Output is shown what takes time or is worth knowing, apt's progress for one. Nil shows nothing.
	Output io.Writer
	// Fast trades every durability for speed: right for tests, where a lost database costs nothing.
	Fast bool
}

// Server is a running private server.
type Server struct {
	name   string // the cluster's name, shown in the titles of its processes
	socket string
	lock   *os.File
	log    *serverLog
	run    *run
	stop   func() error
}

// Start runs the server on o.Dir and returns when it answers. The server lives until Stop, or until this process dies;
// ctx bounds the starting only.
//
// Where PostgreSQL's programs are missing it installs them by apt if it can (root on Debian or Ubuntu), else the error is
// one line with the package's name. PostgreSQL refuses to run as root: then the server runs as the owner of the existing
// data, as postgres or as nobody, and where that account can't enter o.Dir the cluster is made below /var/lib/portico-dev.
//
// One server at a time uses a folder: a second Start fails and names the process. What a killed run left behind (a server
// still running, a half-made cluster, pid files, sockets) is cleared away first.
func Start(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, thisMachine())
}

func start(ctx context.Context, o Options, m machine) (s *Server, err error) {
	if o.Output == nil {
		o.Output = io.Discard
	}
	dir, err := makeDir(o.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unlock(lock)
		}
	}()
	c, err := settle(ctx, o, m, dir)
	if err != nil {
		return nil, err
	}
	if err := c.clearLeftovers(ctx); err != nil {
		return nil, err
	}
	if err := c.initialise(ctx); err != nil {
		return nil, err
	}
	return c.launch(ctx, lock)
}

// cluster is a settled place to keep the data and a settled way to run the programs on them.
type cluster struct {
	Options
	dir      string // as the caller knows it, resolved: log and lock
	home     string // where the cluster lies: dir, or elsewhere
	data     string // home/data
	programs programs
	account  account
}

// clusterName marks the processes of a cluster, in their titles and arguments. Two clusters never share it: it tells
// folders of one path apart that live in different containers.
func clusterName(data string) (string, error) {
	info, err := os.Stat(data)
	if err != nil {
		return "", fmt.Errorf("look at the cluster: %w", err)
	}
	var dev, inode uint64
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		dev, inode = uint64(stat.Dev), uint64(stat.Ino)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", data, dev, inode))
	return fmt.Sprintf("portico-%x", sum[:8]), nil
}

// initialise makes the cluster where there is none. It is made under another name, so that one interrupted midway is never
// taken for a whole one.
func (c *cluster) initialise(ctx context.Context) error {
	if _, err := os.Stat(c.data); err == nil {
		return nil
	}
	half := c.data + ".new"
	if err := os.Mkdir(half, 0o700); err != nil {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := c.account.own(half); err != nil {
		return err
	}
	fmt.Fprintf(c.Output, "Creating a PostgreSQL %d cluster in %s\n", c.programs.version, c.data)
	args := []string{"-D", half, "-U", Superuser, "-A", "trust", "-E", "UTF8", "--no-instructions"}
	args = append(args, c.programs.locale()...)
	if c.Fast {
		args = append(args, "--no-sync")
	}
	var output strings.Builder
	cmd := c.command(ctx, "initdb", half, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	r, err := launch(cmd)
	if err == nil {
		<-r.done
		err = r.err
	}
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("create the PostgreSQL cluster: %w", ctx.Err()), os.RemoveAll(half))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("create the PostgreSQL cluster: %w: %s", err, lastLines(output.String())), os.RemoveAll(half))
	}
	if err := os.Rename(half, c.data); err != nil {
		return fmt.Errorf("create the PostgreSQL cluster: %w", err)
	}
	return nil
}

// command prepares one of PostgreSQL's programs, run as the account in folder. A cancelled ctx asks it to end, and kills it
// if it doesn't.
func (c *cluster) command(ctx context.Context, program, folder string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.programs.dir, program), args...)
	cmd.Dir = folder
	// Nothing of the caller's environment: PGPORT, PGDATA and the locale all change what the programs do.
	cmd.Env = []string{"PATH=" + c.programs.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = processAttributes()
	cmd.SysProcAttr.Credential = c.account.credential
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	return cmd
}

func (c *cluster) settings(name, socket string) []string {
	settings := []string{
		"listen_addresses=", "unix_socket_directories=" + socket, "port=" + port, "cluster_name=" + name,
		"logging_collector=off", "log_destination=stderr", "log_line_prefix=%m [%p] ",
	}
	if c.Fast {
		return append(settings, "max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "max_wal_size=512MB", "autovacuum=off",
			// In the data folder, so that nothing stays behind elsewhere when a test's server is killed.
			"dynamic_shared_memory_type=mmap")
	}
	return append(settings, "max_connections=100")
}

func (c *cluster) launch(ctx context.Context, lock *os.File) (*Server, error) {
	name, err := clusterName(c.data)
	if err != nil {
		return nil, err
	}
	log, err := openLog(c.dir)
	if err != nil {
		return nil, err
	}
	socket, err := c.makeSocketDir()
	if err != nil {
		return nil, errors.Join(err, log.file.Close())
	}
	args := []string{"-D", c.data}
	for _, setting := range c.settings(name, socket) {
		args = append(args, "-c", setting)
	}
	// The server outlives ctx, which may be no more than a start's time limit.
	cmd := c.command(context.WithoutCancel(ctx), "postgres", c.data, args...)
	cmd.Stdout, cmd.Stderr = log.file, log.file
	r, err := launch(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), log.file.Close(), c.removeSocketDir())
	}
	s := &Server{name: name, socket: socket, lock: lock, log: log, run: r}
	s.stop = sync.OnceValue(func() error {
		died := s.end()
		return errors.Join(died, c.removeSocketDir(), log.file.Close(), unlock(lock))
	})
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// await returns when the server answers. A server that was killed replays its log first, which may take a while.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.run.done:
			return fmt.Errorf("start PostgreSQL: it ended at once (%v): %s", s.run.cmd.ProcessState, s.log.tail())
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL: %w: %s", ctx.Err(), s.log.tail())
		case <-poll.C:
		}
	}
}

// URL is the address of a database of this server, for pgx and for libpq.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(Superuser), Path: "/" + database}
	u.RawQuery = url.Values{"host": {s.socket}, "port": {port}}.Encode()
	return u.String()
}

// CreateDatabase makes an empty database, unless there is one of that name already.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
	// Of two that create it at the same moment, the later breaks the unique index of pg_database.
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && (pg.Code == "42P04" || pg.Code == "23505") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	return nil
}

// Done is closed when the server has ended: by Stop, or by itself.
func (s *Server) Done() <-chan struct{} { return s.run.done }

// Stop ends the server cleanly: open transactions are rolled back, connections closed, the socket removed. It returns an
// error with the last lines of the log if the server had ended by itself, or had to be killed. A second call returns what
// the first did.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) end() error {
	select {
	case <-s.run.done:
		return fmt.Errorf("PostgreSQL ended by itself (%v): %s", s.run.cmd.ProcessState, s.log.tail())
	default:
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		s.run.cmd.Process.Signal(signal)
		select {
		case <-s.run.done:
			if s.run.err != nil {
				return fmt.Errorf("stop PostgreSQL (%v): %s", s.run.cmd.ProcessState, s.log.tail())
			}
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("stop PostgreSQL: process %d doesn't end", s.run.cmd.Process.Pid)
}

const lockName = "lock"

// takeLock makes this process the only one that uses dir, until the file is closed or the process ends, however it ends.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: an earlier start, perhaps as root, made the PostgreSQL data folder for another account: start as that one, or use another folder", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the PostgreSQL data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(lock, 20))
		if len(holder) == 0 {
			return nil, fmt.Errorf("the PostgreSQL data folder %s is %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("the PostgreSQL data folder %s is %w by process %s", dir, ErrInUse, holder)
	}
	if err = lock.Truncate(0); err == nil {
		_, err = lock.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	if err == nil {
		err = handOver(path, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), lock.Close())
	}
	return lock, nil
}

// unlock doesn't leave the unlocking to the closing: a program that we are starting at this moment holds a copy of every
// open file, until it becomes another program.
func unlock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

// ErrInUse means that another process runs a server on the folder.
var ErrInUse = errors.New("already in use")

// serverLog is the file that the server writes its log to, by itself: lines are kept even if we are killed.
type serverLog struct {
	file  *os.File
	start int64 // where the lines of this run begin, in bytes
}

func openLog(dir string) (*serverLog, error) {
	path := filepath.Join(dir, "postgres.log")
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("put the old PostgreSQL log aside: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL log: %w", err)
	}
	start, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		err = handOver(path, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the PostgreSQL log: %w", err), file.Close())
	}
	return &serverLog{file: file, start: start}, nil
}

// tail is the last lines of this run, in one.
func (l *serverLog) tail() string {
	info, err := l.file.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(l.start, info.Size()-4096)
	text, err := io.ReadAll(io.NewSectionReader(l.file, from, info.Size()-from))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text))
}

func lastLines(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}
