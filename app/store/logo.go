package store

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"

	"portico/app"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// Limits of a logo that is handed in, and the size that is kept.
const (
	MaxLogoBytes = 512 << 10
	MaxLogoSide  = 2000 // pixels, checked before anything is decoded: a small file may claim to be an enormous picture
	LogoSide     = 512  // pixels; a larger picture is made smaller
)

// Logo is the picture as it is kept and sent.
type Logo struct {
	Content []byte
	Type    string // for Content-Type
}

// format is a kind of picture, told by its first bytes: neither the file's name nor the type the browser claims counts.
type format struct {
	size   func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var formats = map[string]format{
	"image/png":  {png.DecodeConfig, png.Decode},
	"image/jpeg": {jpeg.DecodeConfig, jpeg.Decode},
	"image/webp": {webp.DecodeConfig, webp.Decode},
}

// decoding is the one place for a picture that is being read: at full size it takes up to 70 MB.
var decoding = make(chan struct{}, 1)

// readLogo turns a PNG, JPEG or WebP file into a PNG of at most LogoSide by LogoSide pixels. Drawing it anew leaves behind
// whatever else the file held (metadata, appended scripts). Returns *app.Invalid on field "logo" for anything else. It
// waits while another picture is being read.
func readLogo(ctx context.Context, file io.Reader) (Logo, error) {
	raw, err := io.ReadAll(io.LimitReader(file, MaxLogoBytes+1))
	if err != nil {
		return Logo{}, fmt.Errorf("read the logo: %w", err)
	}
	if len(raw) == 0 {
		return Logo{}, app.Invalidf("logo", "store.logo-missing")
	}
	if len(raw) > MaxLogoBytes {
		return Logo{}, app.Invalidf("logo", "store.logo-too-large", "KB", MaxLogoBytes>>10)
	}
	format, known := formats[http.DetectContentType(raw)]
	if !known {
		return Logo{}, app.Invalidf("logo", "store.logo-type")
	}
	size, err := format.size(bytes.NewReader(raw))
	if err != nil {
		return Logo{}, app.Invalidf("logo", "store.logo-broken")
	}
	if size.Width > MaxLogoSide || size.Height > MaxLogoSide {
		return Logo{}, app.Invalidf("logo", "store.logo-too-wide", "Pixels", MaxLogoSide)
	}
	select {
	case decoding <- struct{}{}:
		defer func() { <-decoding }()
	case <-ctx.Done():
		return Logo{}, fmt.Errorf("wait to read the logo: %w", ctx.Err())
	}
	picture, err := format.decode(bytes.NewReader(raw))
	if err != nil || picture.Bounds().Empty() {
		return Logo{}, app.Invalidf("logo", "store.logo-broken")
	}
	var out bytes.Buffer
	if err := png.Encode(&out, fit(picture)); err != nil {
		return Logo{}, fmt.Errorf("write the logo: %w", err)
	}
	return Logo{out.Bytes(), "image/png"}, nil
}

// fit makes a picture smaller, in proportion, until it fits into LogoSide by LogoSide.
func fit(picture image.Image) image.Image {
	width, height := picture.Bounds().Dx(), picture.Bounds().Dy()
	longer := max(width, height)
	if longer <= LogoSide {
		return picture
	}
	small := image.NewNRGBA(image.Rect(0, 0, max(1, width*LogoSide/longer), max(1, height*LogoSide/longer)))
	draw.CatmullRom.Scale(small, small.Bounds(), picture, picture.Bounds(), draw.Src, nil)
	return small
}
