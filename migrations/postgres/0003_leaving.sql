-- Nodes that shall hold nothing any more.
create table draining (
    node  text        not null,
    since timestamptz not null default now(),
    constraint draining_pk primary key (node)
);

-- Processes that were removed from the cluster. A new process of the same name may come.
create table removal (
    node        text not null,
    incarnation uuid not null,
    constraint removal_pk primary key (node)
);
