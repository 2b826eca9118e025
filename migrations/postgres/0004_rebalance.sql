-- A row: nodes are to become equally full.
create table rebalance (
    singleton smallint    not null default 1,
    since     timestamptz not null default now(),
    constraint rebalance_pk primary key (singleton),
    constraint rebalance_singleton_check check (singleton = 1)
);
