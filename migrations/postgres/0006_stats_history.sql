-- What nodes' statistics were: averages over steps of 5 seconds, a minute and ten minutes. Each
-- sample goes into a step of every length, so that the short ones can be forgotten early. The empty
-- node's name stands for the whole cluster.
create table stats_history (
    step_s            integer          not null,
    node              text             not null,
    at_s              bigint           not null,
    samples           bigint           not null,
    nodes             double precision not null,
    cpu               double precision not null,
    memory            double precision not null,
    storage           double precision not null,
    max_storage       double precision not null,
    contents          double precision not null,
    unlisted          double precision not null,
    uploads_in_flight double precision not null,
    uploads_per_s     double precision not null,
    upload_busy       double precision not null,
    bytes_in_per_s    double precision not null,
    reads_per_s       double precision not null,
    read_busy         double precision not null,
    bytes_out_per_s   double precision not null,
    constraint stats_history_pk primary key (step_s, node, at_s),
    constraint stats_history_samples_check check (samples >= 1)
);

-- Answers what is old enough to be forgotten.
create index stats_history_age_idx on stats_history (step_s, at_s);
