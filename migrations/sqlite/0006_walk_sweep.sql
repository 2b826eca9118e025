-- The end of a walk drops what the walk did not show in batches, each a transaction: how many rows the walk
-- has shown, and up to which id the end has looked; none before it has begun.
alter table live_walk add column seen integer not null default 0;
alter table live_walk add column swept text;
