package attachments

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/blob"
	"portico/app/db"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/image/webp"
)

// Gate answers for what files belong to. Every request asks it anew.
type Gate interface {
	// MayAttach returns nil if the viewer may add files to what they are writing: object as in drafts.
	MayAttach(ctx context.Context, v app.Viewer, object string) error
	// MayDownload returns nil if the viewer may have the files of a ticket's messages, or of its internal notes; app.ErrNotFound
	// if they may not know of them.
	MayDownload(ctx context.Context, v app.Viewer, ticketID string, internal bool) error
}

// Service is attachments. Safe for concurrent use.
type Service struct {
	pool  *pgxpool.Pool
	blobs blob.Store
	gate  Gate
}

// NewService returns a Service that refuses everything until Guard named a gate.
func NewService(pool *pgxpool.Pool, blobs blob.Store) *Service {
	return &Service{pool: pool, blobs: blobs}
}

// Guard sets who answers for what files belong to. Call it once, before the first request.
func (s *Service) Guard(gate Gate) { s.gate = gate }

const (
	// KeptFor is how long a file that was handed in waits for its form to be posted.
	KeptFor = 24 * time.Hour
	// maxUnposted is how many files of one person may wait at once, in all forms together.
	maxUnposted = 100
	// field is where errors about files stand in forms.
	field = "attachments"
	// sweepBatch is how many files one transaction of the sweep throws away.
	sweepBatch = 50
)

// Limits returns what the store takes.
func (s *Service) Limits(ctx context.Context) (Limits, error) {
	limits, err := loadLimits(ctx, s.pool)
	if err != nil {
		return Limits{}, fmt.Errorf("read the limits of attachments: %w", err)
	}
	return limits, nil
}

// Upload keeps a file for the viewer's form, where it waits KeptFor to be attached. It reads r to the file's end, or until the
// file is refused: *app.Invalid on "attachments" for an empty one, one too large or of a type that the store doesn't take, and
// for one too many; app.ErrNotFound or app.ErrForbidden for a form that is not the viewer's to add to.
func (s *Service) Upload(ctx context.Context, v app.Viewer, object, name string, r io.Reader) (File, error) {
	limits, err := s.mayUpload(ctx, v, object)
	if err != nil {
		return File{}, err
	}
	name = cleanName(name)
	if !limits.allows(name) {
		return File{}, app.Invalidf(field, "attachments.type", "Name", name, "Types", limits.Types())
	}
	head := bufio.NewReaderSize(r, headBytes)
	if _, err := head.Peek(1); err == io.EOF {
		return File{}, app.Invalidf(field, "attachments.empty", "Name", name)
	}
	var id string
	key := blob.NewKey()
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockUser(ctx, tx, v.UserID); err != nil {
			return err
		}
		form, all, err := countUnposted(ctx, tx, v.UserID, object)
		if err != nil {
			return err
		}
		if form >= limits.MaxFiles {
			return app.Invalidf(field, "attachments.too-many", "Name", name, "Max", limits.MaxFiles)
		}
		if all >= maxUnposted {
			return app.Invalidf(field, "attachments.too-many-waiting", "Name", name)
		}
		id, err = insertFile(ctx, tx, v.UserID, object, name, key)
		return err
	})
	if err != nil {
		return File{}, fmt.Errorf("begin an upload: %w", err)
	}
	image := imageType(head)
	limited := &limitReader{r: head, left: limits.maxBytes()}
	size, err := s.blobs.Put(ctx, key, limited)
	if err == nil {
		var file File
		if file, err = finishFile(ctx, s.pool, id, image, size); err == nil {
			return file, nil
		}
	}
	// The request may be over; its leavings go all the same, or else with the next sweep.
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if s.blobs.Delete(cleaning, key) == nil {
		_ = deleteFiles(cleaning, s.pool, []string{id})
	}
	if limited.over {
		return File{}, app.Invalidf(field, "attachments.too-large", "Name", name, "MB", limits.MaxFileMB)
	}
	return File{}, fmt.Errorf("keep an upload: %w", err)
}

func (s *Service) mayUpload(ctx context.Context, v app.Viewer, object string) (Limits, error) {
	if err := access.Check(v, "tickets", "edit"); err != nil {
		return Limits{}, err
	}
	if s.gate == nil {
		return Limits{}, app.ErrForbidden
	}
	if err := s.gate.MayAttach(ctx, v, object); err != nil {
		return Limits{}, err
	}
	return s.Limits(ctx)
}

// errTooLarge ends the reading of a file that is larger than it may be.
var errTooLarge = errors.New("too large")

// limitReader is io.LimitReader that fails where there is more.
type limitReader struct {
	r    io.Reader
	left int64
	over bool
}

func (l *limitReader) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		l.over = true
		return int(l.left), errTooLarge
	}
	l.left -= int64(n)
	return n, err
}

// headBytes is how much of a file is looked at to tell what it is. JPEG keeps its size behind whatever a camera wrote.
const headBytes = 64 << 10

// imageType tells a picture that browsers show by its content: its first bytes, and a header that can be read. Other files,
// and pictures of more than 100 million points, are "".
func imageType(head *bufio.Reader) string {
	start, _ := head.Peek(headBytes) // shorter files are all there is
	kind := http.DetectContentType(start)
	decode, ok := map[string]func(io.Reader) (int, int, error){
		"image/png":  func(r io.Reader) (int, int, error) { c, err := png.DecodeConfig(r); return c.Width, c.Height, err },
		"image/jpeg": func(r io.Reader) (int, int, error) { c, err := jpeg.DecodeConfig(r); return c.Width, c.Height, err },
		"image/gif":  func(r io.Reader) (int, int, error) { c, err := gif.DecodeConfig(r); return c.Width, c.Height, err },
		"image/webp": func(r io.Reader) (int, int, error) { c, err := webp.DecodeConfig(r); return c.Width, c.Height, err },
	}[kind]
	if !ok {
		return ""
	}
	width, height, err := decode(bytes.NewReader(start))
	if err != nil || width <= 0 || height <= 0 || int64(width)*int64(height) > 100_000_000 {
		return ""
	}
	return kind
}

// Waiting lists the viewer's own files that wait for a form to be posted.
func (s *Service) Waiting(ctx context.Context, v app.Viewer, object string) ([]File, error) {
	files, err := unposted(ctx, s.pool, v.UserID, object)
	if err != nil {
		return nil, fmt.Errorf("list the files of a form: %w", err)
	}
	return files, nil
}

// Attach puts the viewer's own waiting files of a form on a message, in the transaction that writes the message. All or nothing:
// *app.Invalid on "attachments" if one of them is not the viewer's, not that form's, posted already or gone, or if there are more
// than the store takes. The caller has decided that the viewer may attach.
func (s *Service) Attach(ctx context.Context, tx pgx.Tx, v app.Viewer, object, messageID string, ids []string) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) == 0 {
		return nil
	}
	limits, err := loadLimits(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the limits of attachments: %w", err)
	}
	if len(ids) > limits.MaxFiles {
		return app.Invalidf(field, "attachments.too-many-posted", "Max", limits.MaxFiles)
	}
	for _, id := range ids {
		if !isID(id) {
			return app.Invalidf(field, "attachments.gone")
		}
	}
	moved, err := attach(ctx, tx, v.UserID, object, messageID, ids)
	if err != nil {
		return fmt.Errorf("attach files to message %s: %w", messageID, err)
	}
	if moved != int64(len(ids)) {
		return app.Invalidf(field, "attachments.gone")
	}
	return nil
}

func isID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

// Remove throws away a file of the viewer's that waits. app.ErrNotFound for every other.
func (s *Service) Remove(ctx context.Context, v app.Viewer, id string) error {
	if !isID(id) {
		return app.ErrNotFound
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		key, err := lockUnposted(ctx, tx, v.UserID, id)
		if err != nil {
			return err
		}
		if err := s.blobs.Delete(ctx, key); err != nil {
			return err
		}
		return deleteFiles(ctx, tx, []string{id})
	})
	if err != nil {
		return fmt.Errorf("remove an upload: %w", err)
	}
	return nil
}

// Download opens a file of a ticket's message, for whoever sees the message now. The caller closes it; ctx must last until then.
// ticketID is the one in the address: a file of another is app.ErrNotFound.
func (s *Service) Download(ctx context.Context, v app.Viewer, ticketID, id string) (File, io.ReadCloser, error) {
	f, err := s.posted(ctx, v, id)
	if err != nil {
		return File{}, nil, err
	}
	if f.TicketID != ticketID {
		return File{}, nil, app.ErrNotFound
	}
	content, err := s.open(ctx, f)
	return f.File, content, err
}

func (s *Service) posted(ctx context.Context, v app.Viewer, id string) (located, error) {
	if !isID(id) || s.gate == nil {
		return located{}, app.ErrNotFound
	}
	f, err := fileByID(ctx, s.pool, id)
	if err != nil {
		return located{}, fmt.Errorf("find attachment %s: %w", id, err)
	}
	if f.TicketID == "" {
		return f, app.ErrNotFound
	}
	return f, s.gate.MayDownload(ctx, v, f.TicketID, f.Internal)
}

func (s *Service) open(ctx context.Context, f located) (io.ReadCloser, error) {
	content, size, err := s.blobs.Open(ctx, f.BlobKey)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("attachment %s has lost its file", f.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("open attachment %s: %w", f.ID, errors.Join(app.ErrBusy, err))
	}
	if size != f.SizeBytes {
		content.Close()
		return nil, fmt.Errorf("attachment %s has %d bytes and should have %d", f.ID, size, f.SizeBytes)
	}
	return content, nil
}

// Picture opens a picture for showing it: of a message that the viewer sees now, or one of their own that waits. What is no
// picture, by its content as it lies there, is app.ErrNotFound.
func (s *Service) Picture(ctx context.Context, v app.Viewer, id string) (File, io.ReadCloser, error) {
	f, err := s.posted(ctx, v, id)
	if errors.Is(err, app.ErrNotFound) && f.ID != "" && f.TicketID == "" && f.UserID == v.UserID && v.SignedIn() {
		err = nil
	}
	if err != nil {
		return File{}, nil, err
	}
	if f.Image == "" {
		return File{}, nil, app.ErrNotFound
	}
	content, err := s.open(ctx, f)
	if err != nil {
		return File{}, nil, err
	}
	head := bufio.NewReaderSize(content, headBytes)
	if imageType(head) != f.Image {
		content.Close()
		return File{}, nil, fmt.Errorf("attachment %s is no %s: %w", f.ID, f.Image, app.ErrNotFound)
	}
	return f.File, readCloser{head, content}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// Sweep throws away what waited longer than KeptFor, rows and files, and tells how many. A file that can't be deleted stays, with
// its row, for the next sweep.
func (s *Service) Sweep(ctx context.Context) (swept int, err error) {
	for {
		var found int
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			files, err := lockStale(ctx, tx, time.Now().Add(-KeptFor), sweepBatch)
			if err != nil {
				return err
			}
			found = len(files)
			var gone []string
			var failed error
			for _, f := range files {
				if err := s.blobs.Delete(ctx, f.BlobKey); err != nil {
					failed = err
					break
				}
				gone = append(gone, f.ID)
			}
			if len(gone) == 0 {
				return failed
			}
			swept += len(gone)
			if failed != nil {
				found = 0 // the rest waits for the next sweep
			}
			return deleteFiles(ctx, tx, gone)
		})
		if err != nil {
			return swept, fmt.Errorf("sweep unposted attachments: %w", err)
		}
		if found < sweepBatch {
			return swept, nil
		}
	}
}

// Settings is Limits as people type them.
type Settings struct {
	MaxFileMB string `form:"max_file_mb"`
	MaxFiles  string `form:"max_files"`
	Types     string `form:"file_types"` // separated by commas, spaces or lines; empty for any
}

// NewSettings fills the form.
func NewSettings(l Limits) Settings {
	return Settings{strconv.Itoa(l.MaxFileMB), strconv.Itoa(l.MaxFiles), l.Types()}
}

// Bounds of the settings.
const (
	mostFileMB = 500
	mostFiles  = 50
	mostTypes  = 200
)

var typeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,15}$`)

func (f Settings) limits() (Limits, error) {
	var invalid app.Invalid
	number := func(name, text string, most int) int {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > most {
			invalid.Add(name, "attachments.number", "Max", most)
		}
		return n
	}
	l := Limits{MaxFileMB: number("max_file_mb", f.MaxFileMB, mostFileMB), MaxFiles: number("max_files", f.MaxFiles, mostFiles), FileTypes: []string{}}
	for _, word := range strings.FieldsFunc(strings.ToLower(f.Types), func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\t' }) {
		word = strings.TrimPrefix(word, ".")
		if !typeForm.MatchString(word) || len(l.FileTypes) == mostTypes {
			invalid.Add("file_types", "attachments.types-wrong", "Type", word)
			break
		}
		if !slices.Contains(l.FileTypes, word) {
			l.FileTypes = append(l.FileTypes, word)
		}
	}
	return l, invalid.Err()
}

// SaveLimits stores what the store takes. It applies to the next file.
func (s *Service) SaveLimits(ctx context.Context, v app.Viewer, form Settings) error {
	if err := access.Check(v, "settings", "edit"); err != nil {
		return err
	}
	next, err := form.limits()
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := loadLimits(ctx, tx)
		if err != nil {
			return fmt.Errorf("read the limits of attachments: %w", err)
		}
		was := NewSettings(before)
		if was == NewSettings(next) {
			return nil
		}
		if err := updateLimits(ctx, tx, next); err != nil {
			return fmt.Errorf("save the limits of attachments: %w", err)
		}
		changes := audit.Changes{}
		changes.Add("max_file_mb", was.MaxFileMB, strconv.Itoa(next.MaxFileMB))
		changes.Add("max_files", was.MaxFiles, strconv.Itoa(next.MaxFiles))
		changes.Add("file_types", was.Types, next.Types())
		return audit.Record(ctx, tx, v, audit.Entry{Action: "store.attachments", ObjectType: "store", Details: changes})
	})
}
