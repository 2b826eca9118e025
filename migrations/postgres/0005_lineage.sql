-- How often a shard's record was restored after the register had gone back in time. It comes before
-- `version` in the order of a shard's records, and a change compares both.
alter table shard_record
    add column lineage bigint not null default 0,
    add constraint shard_record_lineage_check check (lineage >= 0);
