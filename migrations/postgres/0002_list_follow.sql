-- Applies the parts of a listing that begin where the catalog stands, in one round trip.
--
-- Each statement of a volatile function sees what was committed before it began, so whatever a
-- concurrent listing of the same shard did before its lock was released is seen here.
--
-- The planner's settings are fixed: a plan that was made while `content` was empty would scan the
-- whole table until the next analyze.
create function list_follow(
    part_shard       integer[],
    after_epoch      bigint[],
    after_lsn        bigint[],
    upto_epoch       bigint[],
    upto_lsn         bigint[],
    row_shard        integer[],
    row_id           uuid[],
    row_filename     text[],
    row_size         bigint[],
    row_content_type text[],
    row_checksum     text[],
    row_version      bigint[],
    row_collection   text[],
    row_attributes   text[],
    row_created_ms   bigint[],
    row_updated_ms   bigint[],
    row_status       text[],
    gone_shard       integer[],
    gone_id          uuid[]
) returns table (part integer, applied boolean, epoch bigint, lsn bigint)
language plpgsql
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    found_shards bigint;
    matched integer[];
begin
    -- Ascending order: two listings of overlapping shards wait for each other, never in a circle.
    select count(*) into found_shards
      from (select s.id from shard s where s.id = any (part_shard) order by s.id for update) locked;
    if found_shards < cardinality(part_shard) then
        insert into shard (id) select unnest(part_shard) order by 1 on conflict do nothing;
        perform s.id from shard s where s.id = any (part_shard) order by s.id for update;
    end if;

    select coalesce(array_agg(s.id), '{}') into matched
      from unnest(part_shard, after_epoch, after_lsn) as p (shard, epoch, lsn)
      join shard s on s.id = p.shard and s.listed_epoch = p.epoch and s.listed_lsn = p.lsn;

    if cardinality(matched) > 0 then
        with gone as (
            delete from content c
             using unnest(gone_shard, gone_id) as g (shard, id)
             where c.id = g.id and g.shard = any (matched)
            returning c.shard, c.size
        ), replaced as (
            select c.shard, c.size
              from unnest(row_shard, row_id) as r (shard, id)
              join content c on c.id = r.id
             where r.shard = any (matched)
        ), listed as (
            insert into content (shard, id, filename, size, content_type, checksum, version,
                                 collection, attributes, created_at, updated_at, status)
            select r.shard, r.id, r.filename, r.size, r.content_type, r.checksum, r.version,
                   r.collection, r.attributes::jsonb, to_timestamp(r.created_ms::float8 / 1000),
                   to_timestamp(r.updated_ms::float8 / 1000), r.status
              from unnest(row_shard, row_id, row_filename, row_size, row_content_type, row_checksum,
                          row_version, row_collection, row_attributes, row_created_ms,
                          row_updated_ms, row_status)
                   as r (shard, id, filename, size, content_type, checksum, version, collection,
                         attributes, created_ms, updated_ms, status)
             where r.shard = any (matched)
            on conflict (id) do update
               set filename = excluded.filename, size = excluded.size,
                   content_type = excluded.content_type, checksum = excluded.checksum,
                   version = excluded.version, collection = excluded.collection,
                   attributes = excluded.attributes, created_at = excluded.created_at,
                   updated_at = excluded.updated_at, status = excluded.status
            returning shard, size
        ), change as (
            select each.shard, sum(each.contents)::bigint as contents, sum(each.bytes)::bigint as bytes
              from (select gone.shard, -1, -gone.size from gone
                    union all select replaced.shard, -1, -replaced.size from replaced
                    union all select listed.shard, 1, listed.size from listed
                   ) as each (shard, contents, bytes)
             group by each.shard
        )
        update shard s
           set listed_epoch = p.epoch, listed_lsn = p.lsn,
               contents = s.contents + coalesce(change.contents, 0),
               bytes = s.bytes + coalesce(change.bytes, 0)
          from unnest(part_shard, upto_epoch, upto_lsn) as p (shard, epoch, lsn)
          left join change on change.shard = p.shard
         where s.id = p.shard and s.id = any (matched);
    end if;

    return query
        select s.id, s.id = any (matched), s.listed_epoch, s.listed_lsn
          from shard s where s.id = any (part_shard);
end
$$;
