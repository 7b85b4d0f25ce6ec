package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// folder keeps each file under its key, in 256 folders by the key's first two letters. What is being written lies in
// "incoming" and moves when it is whole and on disk.
type folder struct{ root string }

// leftAfter is when a file in "incoming" counts as left behind by a process that died.
const leftAfter = 48 * time.Hour

func openFolder(root string) (Store, error) {
	incoming := filepath.Join(root, "incoming")
	if err := os.MkdirAll(incoming, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for files: %w", err)
	}
	left, err := os.ReadDir(incoming)
	if err != nil {
		return nil, fmt.Errorf("read the folder for files: %w", err)
	}
	for _, entry := range left {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > leftAfter {
			_ = os.Remove(filepath.Join(incoming, entry.Name())) // tried again at the next start
		}
	}
	return &folder{root}, nil
}

func (f *folder) path(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return filepath.Join(f.root, key[:2], key), nil
}

func (f *folder) Put(ctx context.Context, key string, r io.Reader) (size int64, err error) {
	path, err := f.path(key)
	if err != nil {
		return 0, err
	}
	incoming, err := os.CreateTemp(filepath.Join(f.root, "incoming"), "put-")
	if err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = incoming.Close()
			_ = os.Remove(incoming.Name())
		}
	}()
	if size, err = io.Copy(incoming, until{ctx, r}); err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	if err = incoming.Sync(); err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	if err = incoming.Close(); err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	dir := filepath.Dir(path)
	if err = os.Mkdir(dir, 0o700); err == nil {
		err = syncDir(f.root)
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	if err = os.Rename(incoming.Name(), path); err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	if err = syncDir(dir); err != nil {
		_ = os.Remove(path)
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	return size, nil
}

// syncDir puts a folder's names on disk: without it a renamed file may be gone after a crash.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (f *folder) Open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	path, err := f.path(key)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, notFound(err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("open a file: %w", err)
	}
	return file, info.Size(), nil
}

func (f *folder) Delete(_ context.Context, key string) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete a file: %w", err)
	}
	return nil
}

func (f *folder) Stat(_ context.Context, key string) (int64, error) {
	path, err := f.path(key)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, notFound(err)
	}
	return info.Size(), nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return fmt.Errorf("open a file: %w", err)
}

// until reads until its context ends.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
