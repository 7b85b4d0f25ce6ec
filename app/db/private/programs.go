//go:build unix

package private

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// programs are PostgreSQL's server programs of one version.
type programs struct {
	dir     string
	version int // major
}

// locale sorts by code point, the same on every machine and quickest, but knows the letters of all languages, for lower()
// and for searches that ignore case.
func (p programs) locale() []string {
	switch {
	case p.version >= 17:
		return []string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}
	case runtime.GOOS == "darwin":
		return []string{"--locale=C", "--lc-ctype=en_US.UTF-8"}
	default:
		return []string{"--locale=C", "--lc-ctype=C.UTF-8"}
	}
}

// machine is where to look for things, and how to get what is missing.
type machine struct {
	path      string   // folders, as in the variable PATH
	globs     []string // folders outside it
	osRelease string   // the file that names the Linux distribution
	goos      string
	elsewhere string // for the cluster, where its account can't enter the data folder
	install   func(ctx context.Context, output io.Writer) error
}

func thisMachine() machine {
	return machine{
		path: os.Getenv("PATH"),
		globs: []string{
			"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
			"/usr/pgsql-*/bin",                  // Fedora, Red Hat: the PostgreSQL project's packages
			"/usr/lib/postgresql*/bin",          // SUSE
			"/usr/libexec/postgresql*",          // Alpine
			"/usr/local/pgsql/bin",              // built from source
			"/opt/homebrew/opt/postgresql*/bin", // Homebrew
			"/usr/local/opt/postgresql*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
		osRelease: "/etc/os-release",
		goos:      runtime.GOOS,
		elsewhere: "/var/lib/portico-dev",
		install:   aptInstall,
	}
}

// programs finds PostgreSQL, the given version if there is one (0: any), and installs it where there is none and we can.
func (m machine) programs(ctx context.Context, output io.Writer, version int) (programs, error) {
	found := m.find(ctx)
	if chosen, ok := choose(found, version); ok {
		return chosen, nil
	}
	family := m.family()
	if family != "debian" || os.Geteuid() != 0 || m.install == nil {
		return programs{}, missing(found, family)
	}
	if err := m.install(ctx, output); err != nil {
		return programs{}, err
	}
	found = m.find(ctx)
	if chosen, ok := choose(found, version); ok {
		return chosen, nil
	}
	return programs{}, missing(found, family)
}

// find lists all versions found, PATH first, then pg_config's, then the usual places with the newest first.
func (m machine) find(ctx context.Context) []programs {
	var folders []string
	for _, folder := range filepath.SplitList(m.path) {
		// A link in PATH leads to the folder where all the programs are.
		if program, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres")); err == nil {
			folders = append(folders, filepath.Dir(program))
		}
	}
	for _, folder := range filepath.SplitList(m.path) {
		config := filepath.Join(folder, "pg_config")
		if !isProgram(config) {
			continue
		}
		if output, err := exec.CommandContext(ctx, config, "--bindir").Output(); err == nil {
			folders = append(folders, strings.TrimSpace(string(output)))
		}
	}
	seen := map[string]bool{}
	found := versionsOf(ctx, folders, seen)
	var usual []string
	for _, glob := range m.globs {
		matches, _ := filepath.Glob(glob) // the only error is a malformed pattern, and ours are constant
		usual = append(usual, matches...)
	}
	rest := versionsOf(ctx, usual, seen)
	slices.SortStableFunc(rest, func(a, b programs) int { return cmp.Compare(b.version, a.version) })
	return append(found, rest...)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// versionsOf asks the programs in each folder for their version, except in folders seen before.
func versionsOf(ctx context.Context, folders []string, seen map[string]bool) []programs {
	var found []programs
	for _, folder := range folders {
		if seen[folder] {
			continue
		}
		seen[folder] = true
		if !isProgram(filepath.Join(folder, "initdb")) || !isProgram(filepath.Join(folder, "postgres")) {
			continue
		}
		output, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		if match := versionPattern.FindSubmatch(output); match != nil {
			if version, err := strconv.Atoi(string(match[1])); err == nil {
				found = append(found, programs{dir: folder, version: version})
			}
		}
	}
	return found
}

// choose takes the first that fits existing data of the given version. If none does it takes the first new enough one, so
// that the caller can name both versions.
func choose(found []programs, version int) (programs, bool) {
	for _, p := range found {
		if p.version == version && version >= MinVersion {
			return p, true
		}
	}
	for _, p := range found {
		if p.version >= MinVersion {
			return p, true
		}
	}
	return programs{}, false
}

// missing is the one line that names the package.
func missing(found []programs, family string) error {
	what := fmt.Sprintf("PostgreSQL %d or newer is needed and was not found", MinVersion)
	if len(found) > 0 {
		what = fmt.Sprintf("PostgreSQL %d or newer is needed, and %s holds %d", MinVersion, found[0].dir, found[0].version)
	}
	mend, ok := map[string]string{
		"debian": "install the package postgresql (as root: apt-get install postgresql)",
		"fedora": "install the package postgresql-server (as root: dnf install postgresql-server)",
		"suse":   "install the package postgresql-server (as root: zypper install postgresql-server)",
		"alpine": "install the package postgresql (as root: apk add postgresql)",
		"arch":   "install the package postgresql (as root: pacman -S postgresql)",
		"darwin": "install the package postgresql@17 (brew install postgresql@17)",
	}[family]
	if !ok {
		mend = "install PostgreSQL's server programs and put their folder into PATH"
	}
	return fmt.Errorf("%s: %s", what, mend)
}

// family is the kind of system, for the name of the package: darwin, debian, fedora, suse, alpine, arch or "".
func (m machine) family() string {
	if m.goos != "linux" {
		return m.goos
	}
	file, err := os.Open(m.osRelease)
	if err != nil {
		return ""
	}
	defer file.Close()
	var ids []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if key == "ID" || key == "ID_LIKE" {
			ids = append(ids, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			return "debian"
		case "fedora", "rhel", "centos":
			return "fedora"
		case "suse", "opensuse":
			return "suse"
		case "alpine", "arch":
			return id
		}
	}
	return ""
}

// noMainCluster tells Debian's packages not to create and start a server of the system's own beside the programs.
const (
	noMainCluster     = "create_main_cluster = false\n"
	noMainClusterPath = "/etc/postgresql-common/createcluster.d/portico.conf"
)

// aptInstall installs PostgreSQL from the distribution, shown on output.
func aptInstall(ctx context.Context, output io.Writer) (err error) {
	fmt.Fprintln(output, "PostgreSQL is missing: installing the package postgresql by apt-get")
	if err := os.MkdirAll(filepath.Dir(noMainClusterPath), 0o755); err != nil {
		return fmt.Errorf("install PostgreSQL: %w", err)
	}
	if err := os.WriteFile(noMainClusterPath, []byte(noMainCluster), 0o644); err != nil {
		return fmt.Errorf("install PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(noMainClusterPath)) }()
	apt := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=120"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
		cmd.Stdout, cmd.Stderr = output, output
		// apt ends by itself at a safe point; killed outright it leaves packages half installed.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		return cmd.Run()
	}
	// One broken source makes the update fail, and may have nothing to do with PostgreSQL: the installation decides.
	if err := apt("update"); err != nil {
		fmt.Fprintf(output, "apt-get update: %v\n", err)
	}
	if err := apt("install", "-y", "--no-install-recommends", "postgresql"); err != nil {
		return fmt.Errorf("install PostgreSQL: apt-get install: %w: mend what it says above, or install the package postgresql by hand", err)
	}
	return nil
}
