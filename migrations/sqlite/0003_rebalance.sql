-- A row: nodes are to become equally full.
create table rebalance (
    singleton integer not null default 1,
    since     text    not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    constraint rebalance_pk primary key (singleton),
    constraint rebalance_singleton_check check (singleton = 1)
) strict;
