package attachments

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name that is kept, in characters. Longer ones lose their middle, not their extension.
const MaxName = 120

// cleanName makes a name that can stand in a header, on a page and in a folder of anybody's: without the path that some browsers
// send, control and direction signs, and signs that file systems take for something else. It is never empty.
func cleanName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case strings.ContainsRune(`"<>:|?*`, r):
			return '_'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), r == utf8.RuneError:
			return -1 // Cf holds the signs that turn the direction of writing, and those without width
		}
		return r
	}, name)
	name = strings.Trim(strings.Join(strings.Fields(name), " "), ". ")
	if name == "" {
		return "file"
	}
	runes := []rune(name)
	if len(runes) <= MaxName {
		return name
	}
	end := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && utf8.RuneCountInString(name[dot:]) <= 12 {
		end = name[dot:]
	}
	return strings.TrimRight(string(runes[:MaxName-utf8.RuneCountInString(end)]), ". ") + end
}

// extension is what stands after the name's last dot, in lower case; "" if nothing does.
func extension(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return ""
	}
	return strings.ToLower(name[dot+1:])
}

// types are what we say files are. The sender's word does not count, and nothing here is anything that a browser would run.
var types = map[string]string{
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "heic": "image/heic",
	"txt": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8", "csv": "text/csv; charset=utf-8",
	"pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip", "mp4": "video/mp4", "mp3": "audio/mpeg",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"odt":  "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet",
}

// typeOf is a file's Content-Type by its name.
func typeOf(name string) string {
	if t, ok := types[extension(name)]; ok {
		return t
	}
	return "application/octet-stream"
}

// disposition is the Content-Disposition of a file: its name once for old programs, in plain letters, and once as it is.
// Source: RFC 6266, 4.3 and appendix D; RFC 5987.
func disposition(kind, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%/`, r) {
			return '_'
		}
		return r
	}, name)
	encoded := strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	encoded = strings.NewReplacer("(", "%28", ")", "%29", "'", "%27", "*", "%2A").Replace(encoded)
	return kind + `; filename="` + plain + `"; filename*=UTF-8''` + encoded
}
