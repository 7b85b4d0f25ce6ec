//go:build unix

package private

import (
	"os/exec"
	"runtime"
)

// run is a started program. err is how it ended, and may be read once done is closed.
type run struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// launch starts cmd and waits for it in a goroutine that keeps its thread: on Linux the kernel tells the program of our
// death when the thread that started it ends, which the Go runtime may otherwise do at any time.
func launch(cmd *exec.Cmd) (*run, error) {
	r := &run{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		r.err = cmd.Wait()
		close(r.done)
	}()
	return r, <-started
}
