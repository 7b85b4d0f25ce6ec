//go:build unix

package private

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// install puts programs that only know their version into a folder.
func install(t *testing.T, dir string, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s (Some 1.2)'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestPrograms_Order(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := func(path string) string { return filepath.Join(root, path) }
	nine, sixteen := install(t, at("usual/9/bin"), "9.6.24"), install(t, at("usual/16/bin"), "16.4")
	install(t, at("usual/100/bin"), "100devel")
	install(t, at("linked/15"), "15.18")
	link(t, at("linked/15/postgres"), at("path/postgres")) // and no initdb beside it, as Debian's PATH may have it
	install(t, at("configured"), "14.1")
	if err := os.MkdirAll(at("config"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("config/pg_config"), []byte("#!/bin/sh\necho "+at("configured")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, at("usual/17/bin"), "17.0")
	if err := os.Remove(at("usual/17/bin/initdb")); err != nil { // a client's package only
		t.Fatal(err)
	}
	path := at("nowhere") + ":" + at("config") + ":" + at("path")
	globs := []string{at("usual/*/bin"), at("linked/*")}

	for _, test := range []struct {
		name    string
		machine machine
		data    int
		want    programs
	}{
		{"a link in PATH is followed, before all else", machine{path: path, globs: globs}, 0, programs{at("linked/15"), 15}},
		{"pg_config comes next", machine{path: at("config"), globs: globs}, 0, programs{at("configured"), 14}},
		{"then the newest of the usual places", machine{globs: globs}, 0, programs{at("usual/100/bin"), 100}},
		{"what made the data comes before all", machine{path: path, globs: globs}, 16, programs{sixteen, 16}},
		{"too old is too old, whatever made the data", machine{path: nine, globs: []string{at("linked/*")}}, 9, programs{at("linked/15"), 15}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.machine.programs(t.Context(), io.Discard, test.data)
			if err != nil || got != test.want {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestStart_NoPrograms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ goos, release, want string }{
		{"linux", "ID=fedora\n", "dnf install postgresql-server"},
		{"linux", "NAME=x\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install postgresql-server"},
		{"linux", "ID='opensuse-leap'\nID_LIKE='suse opensuse'\n", "zypper install postgresql-server"},
		{"linux", "ID=alpine\n", "apk add postgresql"},
		{"linux", "ID=arch\n", "pacman -S postgresql"},
		{"linux", "ID=unheard-of\n", "put their folder into PATH"},
		{"darwin", "", "brew install postgresql@17"},
		{"freebsd", "", "put their folder into PATH"},
	} {
		release := filepath.Join(t.TempDir(), "os-release")
		if err := os.WriteFile(release, []byte(test.release), 0o644); err != nil {
			t.Fatal(err)
		}
		m := machine{goos: test.goos, osRelease: release, install: func(context.Context, io.Writer) error {
			return errors.New("installed where it must not be")
		}}
		_, err := start(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "postgres")}, m)
		wantLine(t, err, "PostgreSQL 14 or newer is needed and was not found: ", test.want)
	}
}

func TestPrograms_Installs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	release := filepath.Join(root, "os-release")
	if err := os.WriteFile(release, []byte("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := install(t, filepath.Join(root, "old/bin"), "13.9")
	m := machine{goos: "linux", osRelease: release, path: old, globs: []string{filepath.Join(root, "usr/*/bin")}}
	if os.Geteuid() != 0 {
		_, err := m.programs(t.Context(), io.Discard, 0)
		wantLine(t, err, "PostgreSQL 14 or newer is needed, and "+old+" holds 13", "apt-get install postgresql")
		t.Skip("only root installs")
	}
	m.install = func(context.Context, io.Writer) error { return errors.New("no network") }
	if _, err := m.programs(t.Context(), io.Discard, 0); err == nil || err.Error() != "no network" {
		t.Errorf("got %v", err)
	}
	m.install = func(context.Context, io.Writer) error { return nil }
	_, err := m.programs(t.Context(), io.Discard, 0)
	wantLine(t, err, "PostgreSQL 14 or newer is needed, and "+old+" holds 13", "apt-get install postgresql")
	m.install = func(context.Context, io.Writer) error {
		install(t, filepath.Join(root, "usr/15/bin"), "15.1")
		return nil
	}
	got, err := m.programs(t.Context(), io.Discard, 0)
	if want := (programs{filepath.Join(root, "usr/15/bin"), 15}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
