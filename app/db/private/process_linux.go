package private

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processAttributes keep a Ctrl-C of the terminal from the program, which we end ourselves when its users are done, and
// have the kernel end it should we be killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}

// processes are the command lines of all running processes, arguments joined by blanks, by process id.
func processes() (map[int]string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	lines := map[int]string{}
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		// Processes end while we look, and some may not be looked at: neither is one of ours.
		if line, err := os.ReadFile(file); err == nil {
			lines[pid] = strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return lines, nil
}
