//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5"
)

// role makes this test binary another program: "with", or a command for it to run.
const role = "PORTICO_WITH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "with":
		os.Setenv(role, "command")
		main()
	case "command":
		if err := tell(); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		if os.Args[1] == "wait" {
			<-make(chan struct{})
		}
		os.Exit(7)
	default:
		os.Exit(m.Run())
	}
}

// tell prints the folders of the server that the environment names.
func tell() error {
	conn, err := pgx.Connect(context.Background(), os.Getenv(dbtest.Variable))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	var dir string
	if err := conn.QueryRow(context.Background(), "show data_directory").Scan(&dir); err != nil {
		return err
	}
	fmt.Println("told:", filepath.Dir(dir), conn.Config().Host)
	return nil
}

// with starts the program on the arguments, its standard output a pipe.
func with(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), role+"=with", dbtest.Variable+"=")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewScanner(output)
}

func told(t *testing.T, lines *bufio.Scanner) []string {
	t.Helper()
	lines.Scan()
	text, ok := strings.CutPrefix(lines.Text(), "told: ")
	if !ok {
		t.Fatalf("the command says %q", lines.Text())
	}
	return strings.Fields(text)
}

func wantEnd(t *testing.T, cmd *exec.Cmd, code int, folders []string) {
	t.Helper()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", folder, err)
		}
	}
}

func TestWith_ExitCode(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, lines := with(t, "--", program, "end")
	folders := told(t, lines)
	wantEnd(t, cmd, 7, folders)
}

func TestWith_Signals(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			// The shell is no more than a go command is: what it started must end too.
			cmd, lines := with(t, "--", "sh", "-c", program+" wait; true")
			folders := told(t, lines)
			cmd.Process.Signal(signal)
			for lines.Scan() { // until everybody who holds the pipe is gone
			}
			wantEnd(t, cmd, 128+int(signal), folders)
		})
	}
}

func TestWith_EndsWhatTheCommandLeft(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, lines := with(t, "--", "sh", "-c", program+" wait & exec "+program+" end")
	folders := told(t, lines)
	for lines.Scan() { // ends once nobody holds the pipe
	}
	wantEnd(t, cmd, 7, folders)
}

func TestWith_NoCommand(t *testing.T) {
	t.Parallel()
	cmd, _ := with(t)
	wantEnd(t, cmd, 2, nil)
	cmd, _ = with(t, "--", "/no/such/command")
	wantEnd(t, cmd, 1, nil)
}
