package private

import "testing"

func TestServer_EndsWithItsStarter(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	h := runHelper(t, dir, nil)
	h.url(t)
	h.kill()
	until(t, "the server to end", func() bool { return len(serverProcesses(t, dir)) == 0 })
}
