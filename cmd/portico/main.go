// Command portico is the client portal. Its subcommands are listed by "portico help"; this package only wires the parts
// together, so read portal.go to see what runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"portico/app/server"
)

const usage = `portico is a client portal for hosting businesses.

  portico dev             run everything for development: private PostgreSQL, mailbox, demo store
  portico serve           run in production; --web or --jobs for one of the two only
  portico migrate         bring the database up to date
  portico admin create    make an admin: --name and --email; the password is asked for
  portico keys rotate     encrypt what is stored with the first key of PORTICO_SECRET_KEY
  portico routes          list every address with the permission it needs; --json for programs
  portico doctor          say what is missing or wrong in the configuration

Variables are described in docs/operating.md.
`

func main() {
	// The first signal stops gracefully; the second ends the program as usual.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Getenv)
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "portico:", err)
		}
		os.Exit(1)
	}
}

// command runs one subcommand until it is done or ctx ends.
func command(ctx context.Context, args []string, in io.Reader, out io.Writer, getenv func(string) string) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("portico "+name, flag.ContinueOnError)
	switch name {
	case "dev":
		return withConfig(flags, args, getenv, true, func(c config) error { return devRun(ctx, c, out) })
	case "serve":
		web := flags.Bool("web", false, "answer requests only")
		work := flags.Bool("jobs", false, "work jobs only")
		return withConfig(flags, args, getenv, false, func(c config) error {
			both := *web == *work
			return serve(ctx, c, out, *web || both, *work || both)
		})
	case "migrate":
		return withConfig(flags, args, getenv, false, func(c config) error { return migrateDatabase(ctx, c) })
	case "admin":
		if len(args) == 0 || args[0] != "create" {
			return errors.New("portico admin knows one deed: create")
		}
		name := flags.String("name", "", "the admin's name")
		email := flags.String("email", "", "the admin's e-mail address")
		return withConfig(flags, args[1:], getenv, false, func(c config) error {
			return createAdmin(ctx, c, *name, *email, in, out)
		})
	case "keys":
		if len(args) == 0 || args[0] != "rotate" {
			return errors.New("portico keys knows one deed: rotate")
		}
		return withConfig(flags, args[1:], getenv, false, func(c config) error { return rotateKeys(ctx, c, out) })
	case "routes":
		asJSON := flags.Bool("json", false, "as JSON")
		withDev := flags.Bool("dev", false, "with those of the dev run")
		if err := flags.Parse(args); err != nil {
			return err
		}
		if flags.NArg() > 0 {
			return fmt.Errorf("%s does not know %q", flags.Name(), flags.Arg(0))
		}
		text, err := server.Print(server.Routes(server.Handlers{}, *withDev), *asJSON)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, text)
		return err
	case "doctor":
		return withConfig(flags, args, getenv, false, func(c config) error { return doctor(ctx, c, out) })
	case "help", "-h", "--help":
		_, err := io.WriteString(out, usage)
		return err
	case "":
		return fmt.Errorf("say what to do\n\n%s", usage)
	default:
		return fmt.Errorf("there is no %q\n\n%s", name, usage)
	}
}

func withConfig(flags *flag.FlagSet, args []string, getenv func(string) string, dev bool, run func(config) error) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s does not know %q", flags.Name(), flags.Arg(0))
	}
	c, err := readConfig(getenv, dev)
	if err != nil {
		return err
	}
	level := &slog.HandlerOptions{Level: slog.LevelInfo}
	if c.logJSON {
		slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, level)))
	} else {
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, level)))
	}
	return run(c)
}
