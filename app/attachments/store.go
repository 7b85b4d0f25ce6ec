package attachments

import (
	"context"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// Columns are a File's, from "attachments f".
const Columns = "f.id, coalesce(f.message_id::text, '') as message_id, f.name, coalesce(f.image, '') as image, coalesce(f.size_bytes, 0) as size_bytes, f.created_at"

func loadLimits(ctx context.Context, conn db.Conn) (Limits, error) {
	return db.One[Limits](ctx, conn, "select max_file_mb, max_files, file_types from store")
}

func updateLimits(ctx context.Context, tx pgx.Tx, l Limits) error {
	_, err := tx.Exec(ctx, "update store set max_file_mb = $1, max_files = $2, file_types = $3", l.MaxFileMB, l.MaxFiles, l.FileTypes)
	return err
}

// lockUser makes a user's uploads begin one after the other, so that each counts those before it.
func lockUser(ctx context.Context, tx pgx.Tx, userID string) error {
	_, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended('attachments:' || $1, 0))", userID)
	return err
}

// countUnposted counts a user's unposted files, of a form and of all forms.
func countUnposted(ctx context.Context, conn db.Conn, userID, object string) (form, all int, err error) {
	err = conn.QueryRow(ctx, "select count(*) filter (where object = $2), count(*) from attachments where user_id = $1 and message_id is null",
		userID, object).Scan(&form, &all)
	return form, all, err
}

func insertFile(ctx context.Context, conn db.Conn, userID, object, name, key string) (id string, err error) {
	err = conn.QueryRow(ctx, "insert into attachments (user_id, object, name, blob_key) values ($1, $2, $3, $4) returning id",
		userID, object, name, key).Scan(&id)
	return id, err
}

// finishFile notes what came in. app.ErrNotFound if the row is gone.
func finishFile(ctx context.Context, conn db.Conn, id, image string, size int64) (File, error) {
	return db.One[File](ctx, conn, "update attachments f set image = nullif($2, ''), size_bytes = $3 where id = $1 returning "+Columns, id, image, size)
}

func unposted(ctx context.Context, conn db.Conn, userID, object string) ([]File, error) {
	return db.All[File](ctx, conn, "select "+Columns+` from attachments f
		where user_id = $1 and object = $2 and message_id is null and size_bytes is not null order by created_at, id limit 100`, userID, object)
}

// located is a file with where it lies and what it belongs to.
type located struct {
	File
	BlobKey  string
	UserID   string
	TicketID string // "" before it is posted
	Internal bool   // it belongs to an internal note
}

func fileByID(ctx context.Context, conn db.Conn, id string) (located, error) {
	return db.One[located](ctx, conn, `
		select `+Columns+`, f.blob_key, coalesce(f.user_id::text, '') as user_id, coalesce(m.ticket_id::text, '') as ticket_id, coalesce(m.internal, false) as internal
		from attachments f left join ticket_messages m on m.id = f.message_id
		where f.id = $1 and f.size_bytes is not null`, id)
}

// attach puts a user's unposted files of some forms on a message, and tells how many there were.
func attach(ctx context.Context, tx pgx.Tx, userID, object, messageID string, ids []string) (int64, error) {
	tag, err := tx.Exec(ctx, `
		update attachments set message_id = $3, object = null
		where id = any($4::uuid[]) and user_id = $1 and object = $2 and message_id is null and size_bytes is not null`, userID, object, messageID, ids)
	return tag.RowsAffected(), err
}

// lockUnposted takes an unposted file of a user's, for removing it. app.ErrNotFound for any other.
func lockUnposted(ctx context.Context, tx pgx.Tx, userID, id string) (key string, err error) {
	row, err := db.One[struct{ BlobKey string }](ctx, tx,
		"select blob_key from attachments where id = $1 and user_id = $2 and message_id is null for update", id, userID)
	return row.BlobKey, err
}

// stale is an unposted file that is to be swept.
type stale struct{ ID, BlobKey string }

func lockStale(ctx context.Context, tx pgx.Tx, before time.Time, limit int) ([]stale, error) {
	return db.All[stale](ctx, tx, `
		select id, blob_key from attachments where message_id is null and created_at < $1
		order by created_at limit $2 for update skip locked`, before, limit)
}

func deleteFiles(ctx context.Context, conn db.Conn, ids []string) error {
	_, err := conn.Exec(ctx, "delete from attachments where id = any($1::uuid[]) and message_id is null", ids)
	return err
}
