package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"portico/app/blob"
	"portico/app/keys"
	"portico/app/mail"
	"portico/app/provisioning/outbound"
)

// config is what the environment says. Every variable is read here and nowhere else.
type config struct {
	addr           string          // PORTICO_ADDR, host:port to listen on
	url            string          // PORTICO_URL, public address without a slash at the end
	dataDir        string          // PORTICO_DATA_DIR, private PostgreSQL, mailbox and key of the dev run
	database       string          // DATABASE_URL; "" in the dev run is the private PostgreSQL
	smtp           *mail.Transport // SMTP_URL; nil in the dev run is the local mailbox
	keys           *keys.Ring      // PORTICO_SECRET_KEY
	blobs          blob.Store      // PORTICO_BLOB_URL; in the dev run a folder beside the rest of its data
	metricsAddr    string          // PORTICO_METRICS_ADDR, "" is off
	trustedProxies []netip.Prefix  // PORTICO_TRUSTED_PROXIES
	outbound       outbound.Policy // PORTICO_OUTBOUND_ALLOW, in the dev run loopback
	sandbox        string          // PORTICO_SANDBOX, where the Sandbox provider listens; "" is off
	logJSON        bool            // PORTICO_LOG
}

// badVariable is a variable that can't be used: one line says what it holds and what it may hold.
type badVariable struct{ name, holds, may string }

func (e *badVariable) Error() string {
	if e.holds == "" {
		return fmt.Sprintf("%s is not set: set it to %s", e.name, e.may)
	}
	return fmt.Sprintf("%s holds %q: it may hold %s", e.name, e.holds, e.may)
}

// readConfig reads the variables through getenv. devRun allows what only the dev run has a default for.
func readConfig(getenv func(string) string, devRun bool) (config, error) {
	c := config{
		addr: or(getenv("PORTICO_ADDR"), "127.0.0.1:8080"), dataDir: or(getenv("PORTICO_DATA_DIR"), ".data"),
		database: getenv("DATABASE_URL"), metricsAddr: getenv("PORTICO_METRICS_ADDR"),
	}
	if err := checkAddr("PORTICO_ADDR", c.addr); err != nil {
		return c, err
	}
	if c.metricsAddr != "" {
		if err := checkAddr("PORTICO_METRICS_ADDR", c.metricsAddr); err != nil {
			return c, err
		}
	}
	var err error
	if c.url, err = publicURL(getenv("PORTICO_URL"), c.addr); err != nil {
		return c, err
	}
	if c.dataDir, err = filepath.Abs(c.dataDir); err != nil {
		return c, fmt.Errorf("find the data folder: %w", err)
	}
	switch {
	case c.database == "" && !devRun:
		return c, &badVariable{"DATABASE_URL", "", "the database's address, e.g. postgres://portico@db.example/portico"}
	case c.database != "":
		if u, err := url.Parse(c.database); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			// What it holds is not repeated: it may be a password.
			return c, &badVariable{"DATABASE_URL", "something else", "the database's address, e.g. postgres://portico@db.example/portico"}
		}
	}
	if value := getenv("SMTP_URL"); value != "" {
		if c.smtp, err = mail.ParseURL(value); err != nil {
			return c, fmt.Errorf("SMTP_URL %w", err)
		}
	} else if !devRun {
		return c, &badVariable{"SMTP_URL", "", "the mail server's address, e.g. smtp://user:password@mail.example:587"}
	}
	if value := getenv("PORTICO_SECRET_KEY"); value != "" {
		if c.keys, err = keys.Parse(value); err != nil {
			return c, &badVariable{"PORTICO_SECRET_KEY", "a key that is too short", fmt.Sprintf("keys of at least %d characters, separated by commas", keys.MinLength)}
		}
	} else if !devRun {
		return c, &badVariable{"PORTICO_SECRET_KEY", "", "a random key, e.g. the output of: openssl rand -base64 32"}
	}
	files := getenv("PORTICO_BLOB_URL")
	if files == "" {
		if !devRun {
			return c, &badVariable{"PORTICO_BLOB_URL", "", "where attachments are kept: " + blob.Forms}
		}
		files = (&url.URL{Scheme: "file", Path: filepath.Join(c.dataDir, "files")}).String()
	}
	if c.blobs, err = blob.Open(files); err != nil {
		// What it holds is not repeated: it may be a secret.
		return c, &badVariable{"PORTICO_BLOB_URL", "something else (" + err.Error() + ")", blob.Forms}
	}
	for _, part := range strings.FieldsFunc(getenv("PORTICO_TRUSTED_PROXIES"), func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil {
				return c, &badVariable{"PORTICO_TRUSTED_PROXIES", part, "addresses or networks separated by commas, e.g. 10.0.0.5, 192.0.2.0/24"}
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		c.trustedProxies = append(c.trustedProxies, prefix)
	}
	inner := getenv("PORTICO_OUTBOUND_ALLOW")
	if devRun {
		inner = or(inner, outbound.Loopback)
	}
	if c.outbound, err = outbound.ParsePolicy(inner); err != nil {
		return c, &badVariable{"PORTICO_OUTBOUND_ALLOW", inner, "inner addresses of providers (" + outbound.Forms + ") or none"}
	}
	if c.sandbox, err = sandboxAddr(getenv("PORTICO_SANDBOX"), devRun); err != nil {
		return c, err
	}
	switch value := or(getenv("PORTICO_LOG"), "text"); value {
	case "text":
	case "json":
		c.logJSON = true
	default:
		return c, &badVariable{"PORTICO_LOG", value, "text or json"}
	}
	return c, nil
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func checkAddr(name, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return &badVariable{name, addr, "an address to listen on, e.g. 127.0.0.1:8080 or :8080"}
	}
	return nil
}

// publicURL is PORTICO_URL, or made from the address to listen on.
func publicURL(value, addr string) (string, error) {
	if value == "" {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return "", err
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return "http://" + net.JoinHostPort(host, port), nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", &badVariable{"PORTICO_URL", value, "the portal's public address, e.g. https://portal.example.com"}
	}
	// As browsers write it, for that is what requests are compared with.
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
	return u.Scheme + "://" + host, nil
}

// devKeys reads the dev run's key from its data folder, and makes it at the first start.
func devKeys(dataDir string) (*keys.Ring, error) {
	path := filepath.Join(dataDir, "secret-key")
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		raw = []byte(hex.EncodeToString(keys.Random(32)))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return nil, fmt.Errorf("keep the dev run's key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the dev run's key: %w", err)
	}
	ring, err := keys.Parse(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("the dev run's key in %s: %w; delete the file to have a new one", path, err)
	}
	return ring, nil
}
