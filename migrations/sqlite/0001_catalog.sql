-- Ids are written as text, times as RFC 3339 text, attributes and records as JSON text.

-- The cluster that this catalog belongs to.
create table cluster (
    singleton  integer not null default 1,
    uuid       text    not null,
    adopted    integer not null default 0,
    created_at text    not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    constraint cluster_pk primary key (singleton),
    constraint cluster_singleton_check check (singleton = 1)
) strict;

-- One row for each content, at its current version.
create table content (
    id           text    not null,
    filename     text    not null,
    size         integer not null,
    content_type text    not null,
    checksum     text    not null,
    version      integer not null,
    shard        integer not null,
    collection   text,
    attributes   text,
    status       text    not null default 'OK',
    created_at   text    not null,
    updated_at   text    not null,
    constraint content_pk primary key (id),
    constraint content_filename_check check (octet_length(filename) between 1 and 1024),
    constraint content_size_check check (size >= 0),
    constraint content_version_check check (version >= 1),
    constraint content_attributes_check check (attributes is null or json_valid(attributes)),
    constraint content_status_check check (status in ('OK', 'UNLISTABLE'))
) strict, without rowid;

-- Answers `?filename=` with a whole name and with a prefix.
create index content_filename_idx on content (filename, id);
-- Answers what a walk over a shard's live contents did not show.
create index content_shard_idx on content (shard, id);
create index content_collection_idx on content (collection, id) where collection is not null;

-- How far the catalog has followed each shard's log, and what it found there.
create table shard (
    id           integer not null,
    listed_epoch integer not null default 0,
    listed_lsn   integer not null default 0,
    contents     integer not null default 0,
    bytes        integer not null default 0,
    constraint shard_pk primary key (id),
    constraint shard_id_check check (id between 0 and 65535)
) strict;

-- A walk over a shard's live contents that is under way, and what it has shown so far.
create table live_walk (
    shard    integer not null,
    at_epoch integer not null,
    at_lsn   integer not null,
    constraint live_walk_pk primary key (shard)
) strict;

create table live_walk_content (
    shard integer not null,
    id    text    not null,
    constraint live_walk_content_pk primary key (shard, id),
    constraint live_walk_content_fk foreign key (shard) references live_walk (shard) on delete cascade
) strict, without rowid;

-- Every service that was ever heard of, and what it last said.
create table node (
    name         text not null,
    role         text not null,
    internal_url text not null,
    public_url   text not null,
    incarnation  text not null,
    last_seen    text not null,
    heartbeat    text,
    constraint node_pk primary key (name),
    constraint node_role_check check (role in ('distributor', 'node'))
) strict;

-- The register: each shard's record, changed by compare-and-set on its version.
create table shard_record (
    shard   integer not null,
    version integer not null,
    record  text    not null,
    constraint shard_record_pk primary key (shard),
    constraint shard_record_version_check check (version >= 1)
) strict;

-- Which distributor is the controller, until when, in which term.
create table controller (
    singleton  integer not null default 1,
    holder     text    not null,
    term       integer not null,
    expires_at text    not null,
    constraint controller_pk primary key (singleton),
    constraint controller_singleton_check check (singleton = 1)
) strict;
