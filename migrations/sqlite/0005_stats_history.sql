-- What nodes' statistics were: averages over steps of 5 seconds, a minute and ten minutes. Each
-- sample goes into a step of every length, so that the short ones can be forgotten early. The empty
-- node's name stands for the whole cluster.
create table stats_history (
    step_s            integer not null,
    node              text    not null,
    at_s              integer not null,
    samples           integer not null,
    nodes             real    not null,
    cpu               real    not null,
    memory            real    not null,
    storage           real    not null,
    max_storage       real    not null,
    contents          real    not null,
    unlisted          real    not null,
    uploads_in_flight real    not null,
    uploads_per_s     real    not null,
    upload_busy       real    not null,
    bytes_in_per_s    real    not null,
    reads_per_s       real    not null,
    read_busy         real    not null,
    bytes_out_per_s   real    not null,
    constraint stats_history_pk primary key (step_s, node, at_s),
    constraint stats_history_samples_check check (samples >= 1)
) strict;

-- Answers what is old enough to be forgotten.
create index stats_history_age_idx on stats_history (step_s, at_s);
