-- lane: write
-- Moves a person's cursors past everything that cannot be theirs any more. Only transactions that
-- have ended count (ledger_xmin), and what frees up later is queued behind, so nothing is missed.
-- $1 project id
-- $2 principal id: the annotator
-- index: comparison_open
with recursive level (priority) as (
    (select c.priority from comparison c
      where c.project_id = $1::integer and c.taken < c.wanted
      order by c.priority desc limit 1)
    union all
    select (select c.priority from comparison c
             where c.project_id = $1::integer and c.taken < c.wanted and c.priority < level.priority
             order by c.priority desc limit 1)
      from level where level.priority is not null),
settled as materialized (select ledger_xmin() as xmin),
target as (
    select l.priority, coalesce(f.queued_xid, settled.xmin) as queued_xid,
           coalesce(f.id, '00000000-0000-0000-0000-000000000000'::uuid) as comparison_id
      from level l
      cross join settled
      left join lease_cursor k on k.project_id = $1::integer and k.annotator_id = $2::uuid
                              and k.priority = l.priority
      left join lateral (
          select c.queued_xid, c.id
            from comparison c
           where c.project_id = $1::integer and c.priority = l.priority and c.taken < c.wanted
             and (c.queued_xid, c.id)
                 >= (coalesce(k.queued_xid, 0),
                     coalesce(k.comparison_id, '00000000-0000-0000-0000-000000000000'::uuid))
             and c.queued_xid < settled.xmin
             and not exists (select from assignment a
                              where a.project_id = $1::integer and a.annotator_id = $2::uuid
                                and a.comparison_id = c.id and a.state <> 'expired')
           order by c.queued_xid, c.id
           limit 1) f on true
     where l.priority is not null)
insert into lease_cursor (project_id, annotator_id, priority, queued_xid, comparison_id)
select $1::integer, $2::uuid, priority, queued_xid, comparison_id from target
on conflict (project_id, annotator_id, priority) do update
    set queued_xid = excluded.queued_xid, comparison_id = excluded.comparison_id, moved_at = now()
  where (excluded.queued_xid, excluded.comparison_id)
        >= (lease_cursor.queued_xid, lease_cursor.comparison_id)
