//go:build unix && !linux

package private

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// processAttributes keep a Ctrl-C of the terminal from the program, which we end ourselves when its users are done. Should
// we be killed it goes on, until the next start ends it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// processes are the command lines of all running processes, by process id.
func processes() (map[int]string, error) {
	output, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	lines := map[int]string{}
	for line := range strings.Lines(string(output)) {
		id, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, err := strconv.Atoi(id); err == nil {
			lines[pid] = strings.TrimSpace(command)
		}
	}
	return lines, nil
}
