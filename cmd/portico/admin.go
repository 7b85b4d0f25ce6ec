package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"portico/app"
	"portico/app/locale"

	"golang.org/x/term"
)

// createAdmin makes an admin. The password is asked for without showing it, or read as a line from a pipe: it never stands
// in the command line, where other users of the machine can read it.
func createAdmin(ctx context.Context, c config, name, email string, in io.Reader, out io.Writer) error {
	if name == "" || email == "" {
		return errors.New("portico admin create needs --name and --email")
	}
	hasher, err := newHasher()
	if err != nil {
		return err
	}
	c.sandbox = "" // nothing is provisioned here
	p, err := build(ctx, settings{database: c.database, url: c.url, keys: c.keys, smtp: c.smtp, blobs: c.blobs, config: c, hasher: hasher})
	if err != nil {
		return err
	}
	defer p.pool.Close()
	password, err := readPassword(in, out)
	if err != nil {
		return err
	}
	err = p.accounts.CreateAdmin(ctx, name, email, password)
	var invalid *app.Invalid
	switch {
	case errors.As(err, &invalid):
		printer := p.catalogue.Printer(locale.Fallback, "UTC", time.Now())
		var lines []string
		for _, field := range invalid.Fields {
			lines = append(lines, printer.Text(field.Text))
		}
		return errors.New(strings.Join(lines, " "))
	case errors.Is(err, app.ErrConflict):
		return fmt.Errorf("%s has an account already", email)
	case err != nil:
		return err
	}
	fmt.Fprintf(out, "%s is an admin. Sign in at %s/sign-in\n", name, c.url)
	return nil
}

func readPassword(in io.Reader, out io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(out, "Password: ")
		password, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(out)
		return string(password), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
