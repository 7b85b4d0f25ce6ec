package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/keys"

	"github.com/minio/minio-go/v7"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "files")
	store, err := Open("file://" + root)
	if err != nil {
		t.Fatal(err)
	}
	suite(t, store)
	left, err := os.ReadDir(filepath.Join(root, "incoming"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in incoming: %v, %v", left, err)
	}
}

func TestFolder_ForgetsWhatADeadProcessLeft(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	old, fresh := filepath.Join(root, "incoming", "put-old"), filepath.Join(root, "incoming", "put-fresh")
	if err := os.Mkdir(filepath.Join(root, "incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ago := time.Now().Add(-leftAfter - time.Hour)
	if err := os.Chtimes(old, ago, ago); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("file://" + root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old one is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("what somebody may be writing is gone")
	}
}

func TestS3(t *testing.T) {
	t.Parallel()
	address := startS3(t)
	store, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	suite(t, store)

	wrong, err := Open(strings.Replace(address, ":secret-of-tests@", ":other-secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), wrong); err == nil || strings.Contains(err.Error(), "other-secret") {
		t.Errorf("with a wrong secret: %v", err)
	}
	missing, err := Open(strings.Replace(address, "@files", "@no-such-bucket", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Stat(t.Context(), NewKey()); err == nil {
		t.Error("a bucket that is not there answered")
	}
	if _, _, err := missing.Open(t.Context(), NewKey()); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a missing bucket looks like a missing file: %v", err)
	}
}

// suite is what every store must hold.
func suite(t *testing.T, store Store) {
	ctx := t.Context()
	if err := Check(ctx, store); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1, partBytes - 1, partBytes, partBytes + 1, 12<<20 + 3} {
		key := NewKey()
		sum := sha256.New()
		put, err := store.Put(ctx, key, io.TeeReader(noise(size), sum))
		if err != nil || put != size {
			t.Fatalf("put %d bytes: %d, %v", size, put, err)
		}
		if stat, err := store.Stat(ctx, key); err != nil || stat != size {
			t.Errorf("stat of %d bytes: %d, %v", size, stat, err)
		}
		file, length, err := store.Open(ctx, key)
		if err != nil || length != size {
			t.Fatalf("open %d bytes: %d, %v", size, length, err)
		}
		back := sha256.New()
		if _, err := io.Copy(back, file); err != nil || !bytes.Equal(back.Sum(nil), sum.Sum(nil)) {
			t.Errorf("%d bytes came back changed: %v", size, err)
		}
		file.Close()
		for range 2 {
			if err := store.Delete(ctx, key); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
		if _, _, err := store.Open(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("open after delete: %v", err)
		}
		if _, err := store.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("stat after delete: %v", err)
		}
	}

	broken := errors.New("the sender went away")
	for _, before := range []int64{0, 1000, partBytes + 1000} {
		key := NewKey()
		if _, err := store.Put(ctx, key, io.MultiReader(noise(before), failing{broken})); !errors.Is(err, broken) {
			t.Errorf("put of what breaks off: %v", err)
		}
		if _, err := store.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("half a file was kept: %v", err)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	key := NewKey()
	if _, err := store.Put(ended, key, noise(100)); !errors.Is(err, context.Canceled) {
		t.Errorf("put with an ended context: %v", err)
	}
	if _, err := store.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file of an ended context was kept: %v", err)
	}

	for _, key := range []string{
		"", ".", "..", "../x", "/etc/passwd", "incoming", strings.Repeat("a", 63), strings.Repeat("A", 64), strings.Repeat("a", 62) + "/x",
		"../" + strings.Repeat("a", 61), strings.Repeat("a", 64) + "\n", strings.Repeat("a", 63) + "\x00",
	} {
		if _, err := store.Put(ctx, key, strings.NewReader("x")); err == nil {
			t.Errorf("put took the key %q", key)
		}
		if _, _, err := store.Open(ctx, key); err == nil {
			t.Errorf("open took the key %q", key)
		}
		if _, err := store.Stat(ctx, key); err == nil {
			t.Errorf("stat took the key %q", key)
		}
		if err := store.Delete(ctx, key); err == nil {
			t.Errorf("delete took the key %q", key)
		}
	}

	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			key, text := NewKey(), fmt.Sprint("file ", i)
			if _, err := store.Put(ctx, key, strings.NewReader(text)); err != nil {
				t.Error(err)
				return
			}
			file, _, err := store.Open(ctx, key)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			if got, err := io.ReadAll(file); err != nil || string(got) != text {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := store.Put(ctx, NewKey(), noise(64<<20)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// All that was ever allocated, by the tests beside this one too.
	t.Logf("putting 64 MB allocated %d KB", (after.TotalAlloc-before.TotalAlloc)>>10)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 48<<20 {
		t.Errorf("putting 64 MB allocated %d MB", allocated>>20)
	}
}

// noise gives n bytes that no two files share.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte(keys.Random(32))), n)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// startS3 runs an S3 server on loopback until the test ends, and returns the address of a bucket in it.
func startS3(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, "bin", "versitygw")
	build := exec.Command("go", "build", "-C", filepath.Join(root, ".ci", "s3"), "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the S3 server: %v\n%s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	data, meta := t.TempDir(), t.TempDir() // a sidecar: temporary folders often lack extended attributes
	var log bytes.Buffer
	server := exec.Command(program, "--port", addr, "--access", "tests", "--secret", "secret-of-tests", "--quiet", "posix", "--sidecar", meta, data)
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = server.Process.Kill()
			<-ended
		}
	})
	address := "s3://tests:secret-of-tests@files/some/prefix?region=us-east-1&endpoint=" + url.QueryEscape("http://"+addr)
	store, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for {
		err := store.(*bucket).client.MakeBucket(t.Context(), "files", minio.MakeBucketOptions{})
		if err == nil {
			return address
		}
		select {
		case <-ended:
			t.Fatalf("the S3 server ended: %s", log.String())
		case <-deadline:
			t.Fatalf("the S3 server does not answer: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "files", "/srv/files", "file://", "file://host/srv", "file:///srv?x=1", "http://x.example", "s3://", "s3:///x", "s3://b?endpoint=host:9000",
		"s3://b?endpoint=ftp://host", "s3://b?endpoint=http://host/path", "s3://b?secret=x", "s3://u:pass-word-%zz@b", "\x7f",
	} {
		if _, err := Open(address); err == nil {
			t.Errorf("%q was taken", address)
		} else if strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%q: the secret stands in %q", address, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("file://" + file); err == nil {
		t.Error("a file was taken for a folder")
	}
}
