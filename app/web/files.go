package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"time"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

// Limits of a form with files. How large a file may be is the service's to say.
const (
	maxParts    = 1000
	maxFormText = 2 << 20 // bytes of all fields together
	// stallTime is how long a sender may send nothing, and a reader take nothing.
	stallTime = 30 * time.Second
)

// Body is a request's body as it comes in. It is not held anywhere: what was read is gone.
type Body struct {
	stream io.Reader
	conn   net.Conn
	left   int64
	ended  bool // read to its end

	form  *multipart.Reader
	first *multipart.Part // read already, for the form token
	token string
}

// ErrBodyTooLarge means that a body went on after its limit.
var ErrBodyTooLarge = fiber.NewError(fiber.StatusRequestEntityTooLarge, "the body is too large")

const bodyKey = "portico.body"

// StreamBody lets the handler read the body as it comes, at most limit bytes of it. The server calls it for routes that take
// files, once it knows who is asking.
func StreamBody(c *fiber.Ctx, limit int64) *Body {
	b := &Body{stream: c.Context().RequestBodyStream(), conn: c.Context().Conn(), left: limit}
	c.Locals(bodyKey, b)
	return b
}

// BodyOf returns the body that StreamBody attached, or nil.
func BodyOf(c *fiber.Ctx) *Body {
	b, _ := c.Locals(bodyKey).(*Body)
	return b
}

// Read reads on. A sender that sends nothing for 30 s is cut off.
func (b *Body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.left <= 0 {
		return 0, ErrBodyTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	_ = b.conn.SetReadDeadline(time.Now().Add(stallTime))
	n, err := b.stream.Read(p)
	b.left -= int64(n)
	b.ended = err == io.EOF
	return n, err
}

// FormToken reads the form token, which must be the first field of a multipart form. "" if it isn't there.
func (b *Body) FormToken(contentType string) string {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != fiber.MIMEMultipartForm || params["boundary"] == "" {
		return ""
	}
	b.form = multipart.NewReader(b, params["boundary"])
	part, err := b.form.NextRawPart()
	if err != nil {
		return ""
	}
	if part.FormName() != csrfField || part.FileName() != "" {
		b.first = part
		return ""
	}
	raw, err := io.ReadAll(io.LimitReader(part, 200))
	if err != nil {
		return ""
	}
	b.token = string(raw)
	return b.token
}

// BindFiles is Bind for a form with files, on a route that takes them. Each file is given to take as it comes in, with its
// field's name and the name that the sender gave it; take's *app.Invalid become errors of the form, and what it left of the file
// is passed over, so that the fields behind it arrive too. Any other error ends the reading. The errors of all come together.
func BindFiles(c *fiber.Ctx, form any, take func(field, name string, r io.Reader) error) error {
	b := BodyOf(c)
	if b == nil {
		return Bind(c, form)
	}
	if b.form == nil {
		return app.Invalidf("", "form.unreadable")
	}
	posted := newPosted()
	var invalid app.Invalid
	text := int64(maxFormText)
	for parts := 0; ; parts++ {
		part, err := b.next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, ErrBodyTooLarge) || parts == maxParts {
			invalid.Add("", "form.too-much")
			break
		}
		if err != nil {
			return fmt.Errorf("read a form: %w", errors.Join(fiber.ErrBadRequest, err))
		}
		if part.FileName() == "" {
			if part.Header.Get("Content-Disposition") != "" && isFile(part) {
				continue // a file field that nothing was chosen for
			}
			raw, err := io.ReadAll(io.LimitReader(part, min(text, maxValue+1)))
			if err != nil {
				return fmt.Errorf("read a form: %w", errors.Join(fiber.ErrBadRequest, err))
			}
			if text -= int64(len(raw)); text <= 0 {
				posted.bad = true
				continue
			}
			posted.take(part.FormName(), string(raw))
			continue
		}
		err = take(part.FormName(), part.FileName(), part)
		var refused *app.Invalid
		if errors.As(err, &refused) {
			invalid.Fields = append(invalid.Fields, refused.Fields...)
		} else if err != nil {
			return err
		}
	}
	err := posted.decode(form)
	var refused *app.Invalid
	if errors.As(err, &refused) {
		refused.Fields = append(refused.Fields, invalid.Fields...)
		return refused
	}
	return invalid.Err()
}

func (b *Body) next() (*multipart.Part, error) {
	if first := b.first; first != nil {
		b.first = nil
		return first, nil
	}
	return b.form.NextRawPart()
}

// isFile tells a file field by its "filename", which is there and empty if nothing was chosen.
func isFile(part *multipart.Part) bool {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	_, named := params["filename"]
	return err == nil && named
}

// SendFile answers with what r gives, size bytes, as it is read; r is closed afterwards. The handler sets the headers. A reader
// that takes nothing for 30 s is cut off, a slow one is not.
func SendFile(c *fiber.Ctx, r io.ReadCloser, size int64) error {
	c.Context().SetBodyStream(&outgoing{r, c.Context().Conn()}, int(size))
	return nil
}

type outgoing struct {
	io.ReadCloser
	conn net.Conn
}

func (o *outgoing) Read(p []byte) (int, error) {
	_ = o.conn.SetWriteDeadline(time.Now().Add(stallTime))
	return o.ReadCloser.Read(p)
}
