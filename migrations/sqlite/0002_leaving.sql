-- Nodes that shall hold nothing any more.
create table draining (
    node  text not null,
    since text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    constraint draining_pk primary key (node)
) strict;

-- Processes that were removed from the cluster. A new process of the same name may come.
create table removal (
    node        text not null,
    incarnation text not null,
    constraint removal_pk primary key (node)
) strict;
