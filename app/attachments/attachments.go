// Package attachments keeps the files that people add to messages: handing them in before the message is posted, putting them
// on it, giving them back, and throwing away what was never posted. Who may do that is asked of whom the files belong to
// (Gate). Start reading at service.go; names.go has what is done to names, handlers.go how files come in and go out.
package attachments

import (
	"slices"
	"strings"
	"time"
)

// File is one file, posted or not.
type File struct {
	ID        string
	MessageID string // "" before it is posted
	Name      string // clean: no path, no control or direction signs, at most MaxName characters
	Image     string // image/png, image/jpeg, image/gif or image/webp if its content is that, else ""
	SizeBytes int64
	CreatedAt time.Time
}

// ImagePath is where a picture is shown from, also within Markdown; "" for what is no picture.
func (f File) ImagePath() string {
	if f.Image == "" {
		return ""
	}
	return ImagesPath + f.ID
}

// ImagesPath is where pictures are shown from, with their id after it.
const ImagesPath = "/files/"

// Icon names the sign that stands before the file's name.
func (f File) Icon() string {
	if f.Image != "" {
		return "image"
	}
	return "file-text"
}

// Limits is what the store takes.
type Limits struct {
	MaxFileMB int      // of one file, in units of 1,048,576 bytes
	MaxFiles  int      // on one message
	FileTypes []string // extensions in lower case, without the dot; none means any
}

// maxBytes is the size of the largest file.
func (l Limits) maxBytes() int64 { return int64(l.MaxFileMB) << 20 }

// allows tells whether a file of that name may be handed in.
func (l Limits) allows(name string) bool {
	return len(l.FileTypes) == 0 || slices.Contains(l.FileTypes, extension(name))
}

// Accept is what a file field offers to choose from: ".png,.pdf", or "" for any.
func (l Limits) Accept() string {
	if len(l.FileTypes) == 0 {
		return ""
	}
	return "." + strings.Join(l.FileTypes, ",.")
}

// Types lists the extensions for people.
func (l Limits) Types() string { return strings.Join(l.FileTypes, ", ") }
