//go:build unix

package private

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is who runs PostgreSQL. The zero value is ourselves.
type account struct {
	name       string
	credential *syscall.Credential // nil: ourselves
}

// own gives a file or folder, and all in it, to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.credential.Uid), int(a.credential.Gid))
	})
	if err != nil {
		return fmt.Errorf("give %s to the account %s: %w", path, a.name, err)
	}
	return nil
}

func accountByID(uid, gid uint32) account {
	name := strconv.Itoa(int(uid))
	if found, err := user.LookupId(name); err == nil {
		name = found.Username
	}
	return account{name: name, credential: &syscall.Credential{Uid: uid, Gid: gid}}
}

// serverAccount is the account to run PostgreSQL as when we are root, and there are no data yet that somebody owns.
func serverAccount() (account, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			continue
		}
		return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no account postgres or nobody to run it as")
}

// handOver gives a file that we as root made in folder to the folder's owner, who may be the next to start.
func handOver(path, folder string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(folder)
	if err != nil {
		return err
	}
	return os.Lchown(path, int(uid), int(gid))
}

// homeLink is the link in the data folder to where the cluster really lies.
const homeLink = "elsewhere"

// homeOf is where the cluster of a data folder lies or should lie.
func homeOf(dir string) (string, error) {
	home, err := filepath.EvalSymlinks(filepath.Join(dir, homeLink))
	if errors.Is(err, os.ErrNotExist) {
		return dir, nil
	}
	if err != nil {
		return "", fmt.Errorf("find the PostgreSQL cluster: %w", err)
	}
	return home, nil
}

// settle finds the cluster's place, the programs that fit it, and the account that runs them.
func settle(ctx context.Context, o Options, m machine, dir string) (*cluster, error) {
	home, err := homeOf(dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{Options: o, dir: dir, home: home, data: filepath.Join(home, "data")}
	version, err := clusterVersion(c.data)
	if err != nil {
		return nil, err
	}
	c.programs, err = m.programs(ctx, o.Output, version)
	if err != nil {
		return nil, err
	}
	if version != 0 && c.programs.version != version {
		return nil, fmt.Errorf("the data in %s are of PostgreSQL %d, the programs in %s of %d: install PostgreSQL %d, or move the folder away to begin anew",
			c.data, version, c.programs.dir, c.programs.version, version)
	}
	if err := c.settleAccount(ctx, m, version != 0); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cluster) settleAccount(ctx context.Context, m machine, exists bool) error {
	root := os.Geteuid() == 0
	var err error
	if exists {
		uid, gid, err := ownerOf(c.data)
		switch {
		case err != nil:
			return err
		case !root && uid != uint32(os.Geteuid()):
			return fmt.Errorf("the data in %s belong to the account %s: start as root, or move the folder away to begin anew", c.data, accountByID(uid, gid).name)
		case !root:
			return nil
		case uid != 0:
			c.account = accountByID(uid, gid)
		default: // copied by root
			if c.account, err = serverAccount(); err != nil {
				return err
			}
			if err := c.account.own(c.data); err != nil {
				return err
			}
		}
		if err := c.enter(ctx, c.data); err != nil {
			return fmt.Errorf("the account %s, which PostgreSQL runs as, can't enter %s (%w): open the folders above it (chmod o+x)", c.account.name, c.data, err)
		}
		return nil
	}
	if !root {
		return nil
	}
	if c.account, err = serverAccount(); err != nil {
		return err
	}
	if err := c.enter(ctx, "/"); err != nil {
		return fmt.Errorf("run PostgreSQL as the account %s: %w", c.account.name, err)
	}
	if c.enter(ctx, c.home) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	return c.moveElsewhere(m)
}

// enter tries whether the account can run programs in a folder: mode bits alone don't tell.
func (c *cluster) enter(ctx context.Context, folder string) error {
	return c.command(ctx, "postgres", folder, "--version").Run()
}

// moveElsewhere settles on a place for the cluster that its account can enter, and leaves a link to it in the data folder.
func (c *cluster) moveElsewhere(m machine) error {
	if err := os.MkdirAll(m.elsewhere, 0o711); err != nil {
		return fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	home, err := os.MkdirTemp(m.elsewhere, "postgres-")
	if err != nil {
		return fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	// Entered by the account, but not written: what is made in it by root must not be bent elsewhere by a link.
	if err := os.Chmod(home, 0o711); err != nil {
		return fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	link := filepath.Join(c.dir, homeLink)
	os.Remove(link) // one that leads nowhere
	if err := os.Symlink(home, link); err != nil {
		return errors.Join(fmt.Errorf("note where PostgreSQL's data lie: %w", err), os.Remove(home))
	}
	fmt.Fprintf(c.Output, "The account %s, which PostgreSQL runs as, can't enter %s: the data go to %s\n", c.account.name, c.dir, home)
	c.home, c.data = home, filepath.Join(home, "data")
	return nil
}

func ownerOf(path string) (uid, gid uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, fmt.Errorf("look at the cluster: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("look at the owner of %s: not told by this system", path)
	}
	return stat.Uid, stat.Gid, nil
}

// clusterVersion is the major version that a cluster was made by, 0 where there is none.
func clusterVersion(data string) (int, error) {
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrPermission) {
		uid, gid, err := ownerOf(data)
		if err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("the data in %s belong to the account %s: start as root, or move the folder away to begin anew", data, accountByID(uid, gid).name)
	}
	if err != nil {
		return 0, fmt.Errorf("%s holds no PostgreSQL cluster: move it away to begin anew: %w", data, err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds no PostgreSQL cluster: move it away to begin anew: %w", data, err)
	}
	return version, nil
}

func makeDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("the PostgreSQL data folder has no name")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the PostgreSQL data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the PostgreSQL data folder: %w", err)
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("find the PostgreSQL data folder: %w", err)
	}
	// Its own account must get through to the cluster, and nobody has to read what else is here.
	if os.Geteuid() == 0 {
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", fmt.Errorf("open the PostgreSQL data folder: %w", err)
		}
	}
	return dir, nil
}
