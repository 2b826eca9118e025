-- The cluster that this catalog belongs to.
create table cluster (
    singleton  boolean     not null default true,
    uuid       uuid        not null,
    adopted    boolean     not null default false,
    created_at timestamptz not null default clock_timestamp(),
    constraint cluster_pk primary key (singleton),
    constraint cluster_singleton_check check (singleton)
);

-- One row for each content, at its current version.
create table content (
    id           uuid        not null,
    filename     text        collate "C" not null,
    size         bigint      not null,
    content_type text        not null,
    checksum     text        not null,
    version      bigint      not null,
    shard        integer     not null,
    collection   text        collate "C",
    attributes   jsonb,
    status       text        not null default 'OK',
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    constraint content_pk primary key (id),
    constraint content_filename_check check (octet_length(filename) between 1 and 1024),
    constraint content_size_check check (size >= 0),
    constraint content_version_check check (version >= 1),
    constraint content_status_check check (status in ('OK', 'UNLISTABLE'))
);

-- Answers `?filename=` with a whole name and with a prefix.
create index content_filename_idx on content (filename, id);
-- Answers what a walk over a shard's live contents did not show.
create index content_shard_idx on content (shard, id);
create index content_collection_idx on content (collection, id) where collection is not null;

-- How far the catalog has followed each shard's log, and what it found there.
create table shard (
    id           integer not null,
    listed_epoch bigint  not null default 0,
    listed_lsn   bigint  not null default 0,
    contents     bigint  not null default 0,
    bytes        bigint  not null default 0,
    constraint shard_pk primary key (id),
    constraint shard_id_check check (id between 0 and 65535)
);

-- A walk over a shard's live contents that is under way, and what it has shown so far.
create table live_walk (
    shard    integer not null,
    at_epoch bigint  not null,
    at_lsn   bigint  not null,
    constraint live_walk_pk primary key (shard)
);

create table live_walk_content (
    shard integer not null,
    id    uuid    not null,
    constraint live_walk_content_pk primary key (shard, id),
    constraint live_walk_content_fk foreign key (shard) references live_walk (shard) on delete cascade
);

-- Every service that was ever heard of, and what it last said.
create table node (
    name         text        not null,
    role         text        not null,
    internal_url text        not null,
    public_url   text        not null,
    incarnation  uuid        not null,
    last_seen    timestamptz not null,
    heartbeat    jsonb,
    constraint node_pk primary key (name),
    constraint node_role_check check (role in ('distributor', 'node'))
);

-- The register: each shard's record, changed by compare-and-set on its version.
create table shard_record (
    shard   integer not null,
    version bigint  not null,
    record  jsonb   not null,
    constraint shard_record_pk primary key (shard),
    constraint shard_record_version_check check (version >= 1)
);

-- Which distributor is the controller, until when, in which term.
create table controller (
    singleton  boolean     not null default true,
    holder     uuid        not null,
    term       bigint      not null,
    expires_at timestamptz not null,
    constraint controller_pk primary key (singleton),
    constraint controller_singleton_check check (singleton)
);
