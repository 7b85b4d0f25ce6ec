package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket keeps files in an S3 bucket, below a prefix.
type bucket struct {
	client minio.Core
	name   string
	prefix string
}

// partBytes is how much of a file is in memory while it is sent: S3 takes nothing whose size it doesn't know, so a file goes
// in parts of this size, the smallest that S3 allows.
const partBytes = 5 << 20

func openBucket(u *url.URL) (Store, error) {
	if u.Host == "" {
		return nil, errors.New("no bucket named")
	}
	query := u.Query()
	for name := range query {
		if name != "endpoint" && name != "region" {
			return nil, fmt.Errorf("unknown setting %q", name)
		}
	}
	endpoint := &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	lookup := minio.BucketLookupAuto
	if value := query.Get("endpoint"); value != "" {
		var err error
		if endpoint, err = url.Parse(value); err != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" || strings.Trim(endpoint.Path, "/") != "" {
			return nil, errors.New("endpoint is not like https://s3.example.com")
		}
		lookup = minio.BucketLookupPath // servers of one's own rarely have a name for each bucket
	}
	who := credentials.NewEnvAWS()
	if u.User != nil {
		secret, _ := u.User.Password()
		who = credentials.NewStaticV4(u.User.Username(), secret, "")
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: who, Secure: endpoint.Scheme == "https", Region: query.Get("region"), BucketLookup: lookup, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 client: %w", err)
	}
	return &bucket{*core, u.Host, strings.Trim(u.Path, "/")}, nil
}

func (b *bucket) object(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return path.Join(b.prefix, key[:2], key), nil
}

func (b *bucket) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	object, err := b.object(key)
	if err != nil {
		return 0, err
	}
	info, err := b.client.Client.PutObject(ctx, b.name, object, until{ctx, r}, -1,
		minio.PutObjectOptions{PartSize: partBytes, ContentType: "application/octet-stream"})
	if err != nil {
		return 0, fmt.Errorf("keep a file: %w", err)
	}
	return info.Size, nil
}

func (b *bucket) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	object, err := b.object(key)
	if err != nil {
		return nil, 0, err
	}
	body, info, _, err := b.client.GetObject(ctx, b.name, object, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, absent(err)
	}
	return body, info.Size, nil
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	object, err := b.object(key)
	if err != nil {
		return err
	}
	if err := b.client.RemoveObject(ctx, b.name, object, minio.RemoveObjectOptions{}); err != nil && !errors.Is(absent(err), ErrNotFound) {
		return fmt.Errorf("delete a file: %w", err)
	}
	return nil
}

func (b *bucket) Stat(ctx context.Context, key string) (int64, error) {
	object, err := b.object(key)
	if err != nil {
		return 0, err
	}
	info, err := b.client.StatObject(ctx, b.name, object, minio.StatObjectOptions{})
	if err != nil {
		return 0, absent(err)
	}
	return info.Size, nil
}

// absent tells a missing file from a missing bucket and from every other refusal.
func absent(err error) error {
	answer := minio.ToErrorResponse(err)
	if answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket {
		return ErrNotFound
	}
	return fmt.Errorf("open a file: %w", err)
}
