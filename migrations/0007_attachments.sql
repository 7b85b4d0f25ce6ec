-- What may be attached. file_types are extensions in lower case without the dot; none means any.
alter table store
    add column max_file_mb int not null default 25 check (max_file_mb between 1 and 500),
    add column max_files   int not null default 10 check (max_files between 1 and 50),
    add column file_types  text[] not null default '{png,jpg,jpeg,gif,webp,heic,bmp,tif,tiff,pdf,txt,log,md,csv,tsv,json,yaml,yml,xml,conf,ini,eml,msg,doc,docx,xls,xlsx,ppt,pptx,odt,ods,odp,rtf,zip,gz,tgz,bz2,xz,7z,tar,sql,pem,crt,csr,mp3,mp4,mov,webm}';

-- A file that somebody handed in. Until its form is posted it belongs to that form of that user (object as in drafts) and is swept
-- after a day; then it belongs to the message. size_bytes is null while it is still coming in. The file itself lies under blob_key
-- outside the database: the row goes last, so that no file is left without one.
create table attachments (
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid references users on delete set null, -- who handed it in
    object     text check (length(object) <= 60),
    message_id uuid references ticket_messages,
    name       text not null check (length(name) between 1 and 150),
    image      text check (image in ('image/png', 'image/jpeg', 'image/gif', 'image/webp')), -- what its content is, if a picture
    size_bytes bigint check (size_bytes >= 0),
    blob_key   text not null unique check (blob_key ~ '^[0-9a-f]{64}$'),
    created_at timestamptz not null default clock_timestamp(),
    check (num_nonnulls(object, message_id) = 1),
    check (message_id is null or size_bytes is not null)
);
create index attachments_message on attachments (message_id, created_at, id) where message_id is not null;
create index attachments_form on attachments (user_id, object, created_at, id) where message_id is null;
create index attachments_unposted on attachments (created_at) where message_id is null;
