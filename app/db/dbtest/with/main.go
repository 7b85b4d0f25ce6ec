//go:build unix

// With runs a command beside a PostgreSQL server for tests, so that the tests of many packages share one:
//
//	go run ./app/db/dbtest/with -- go test ./...
//
// With -disk before the --, the server's data are on disk also where they would fit in memory.
//
// It exits with the command's code, and leaves nothing behind, also after Ctrl-C and SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"portico/app/db/dbtest"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	disk := len(args) > 0 && args[0] == "-disk"
	if disk {
		args = args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 2, errors.New("usage: with [-disk] -- command [argument …]")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	type outcome struct {
		server *dbtest.Server
		err    error
	}
	serving := make(chan outcome, 1)
	go func() {
		server, err := dbtest.Serve(ctx, os.Stderr, disk)
		serving <- outcome{server, err}
	}()
	var server *dbtest.Server
	select {
	case caught := <-signals:
		cancel()
		if o := <-serving; o.server != nil {
			err = o.server.Stop()
		}
		return exitCode(caught), err
	case o := <-serving:
		if o.err != nil {
			return 1, o.err
		}
		server = o.server
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	return command(args, server.URL, signals)
}

// endTimeout is how long the command has after a signal before it is killed.
const endTimeout = 10 * time.Second

// command runs args in a process group of its own and passes each signal on to all of the group: a terminal's Ctrl-C would
// reach the group's processes by itself, a SIGTERM from a CI runner would not.
func command(args []string, url string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), dbtest.Variable+"="+url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	group := -cmd.Process.Pid
	defer syscall.Kill(group, syscall.SIGKILL) // what the command itself left running
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var kill <-chan time.Time
	for {
		select {
		case caught := <-signals:
			syscall.Kill(group, caught.(syscall.Signal))
			if kill == nil {
				kill = time.After(endTimeout)
			}
		case <-kill:
			syscall.Kill(group, syscall.SIGKILL)
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
					return exitCode(status.Signal()), nil
				}
				return exit.ExitCode(), nil
			}
			return 0, err
		}
	}
}

// exitCode is a shell's for a program that a signal ended.
func exitCode(s os.Signal) int { return 128 + int(s.(syscall.Signal)) }
