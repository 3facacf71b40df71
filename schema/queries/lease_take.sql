-- lane: nowait
-- Hands out the next comparisons of the queue to one person: never one they have had, never one
-- whose wanted judgments are all taken. Skips rows that another transaction holds.
-- $1 project id
-- $2 principal id: the annotator
-- $3 how many, 1..10
-- $4 ids for the leases, as many
-- index: comparison_open
-- Result: a row a lease. _stale: the person's cursor should be moved. No row: nothing is left.
with recursive who as materialized (
    select settings_full(p.settings) as settings
      from project p join access x on x.project_id = p.id and x.principal_id = $2::uuid
     where p.id = $1::integer),
level (priority) as (        -- the open priorities, highest first, one index descent each
    (select c.priority from comparison c
      where c.project_id = $1::integer and c.taken < c.wanted
      order by c.priority desc limit 1)
    union all
    select (select c.priority from comparison c
             where c.project_id = $1::integer and c.taken < c.wanted and c.priority < level.priority
             order by c.priority desc limit 1)
      from level where level.priority is not null),
pick as materialized (
    select q.id, q.prompt_id, q.completion_ids, row_number() over () as place
      from who
      cross join level l
      left join lease_cursor k on k.project_id = $1::integer and k.annotator_id = $2::uuid
                              and k.priority = l.priority
      cross join lateral (
          select c.id, c.prompt_id, c.completion_ids
            from comparison c
           where c.project_id = $1::integer and c.priority = l.priority and c.taken < c.wanted
             and (c.queued_xid, c.id)
                 >= (coalesce(k.queued_xid, 0),
                     coalesce(k.comparison_id, '00000000-0000-0000-0000-000000000000'::uuid))
             and not exists (select from assignment a
                              where a.project_id = $1::integer and a.annotator_id = $2::uuid
                                and a.comparison_id = c.id and a.state <> 'expired')
           order by c.queued_xid, c.id
           limit $3::integer
             for update skip locked) q
     limit $3::integer),
granted as (                 -- the unique key decides when one person asks twice at once
    insert into assignment (project_id, annotator_id, comparison_id, impression_id, state, expires_at)
    select $1::integer, $2::uuid, pick.id, ($4::uuid[])[pick.place], 'leased',
           now() + make_interval(secs => (who.settings ->> 'lease_seconds')::integer)
      from pick cross join who
    on conflict (project_id, annotator_id, comparison_id) do update
        set impression_id = excluded.impression_id, state = 'leased',
            expires_at = excluded.expires_at
      where assignment.state = 'expired'
    returning comparison_id, impression_id, expires_at),
taken as (
    update comparison c set taken = taken + 1 from granted g
     where c.project_id = $1::integer and c.id = g.comparison_id),
shown as (
    insert into impression (project_id, id, surface, annotator_id, comparison_id, shown, policy,
                            propensity, at)
    select $1::integer, g.impression_id, 'annotate', $2::uuid, g.comparison_id,
           array(select i::smallint from generate_series(0, cardinality(pick.completion_ids) - 1) i
                  order by random()),
           who.settings ->> 'policy', 1, now()
      from granted g join pick on pick.id = g.comparison_id cross join who
    returning id, comparison_id, shown)
select g.impression_id as id, time_text(g.expires_at) as expires_at, who.settings, p.messages as prompt,
       (select json_agg(c.content order by s.slot)
          from unnest(shown.shown) with ordinality as s (index, slot)
          join completion c on c.project_id = $1::integer
                           and c.id = pick.completion_ids[s.index + 1]) as candidates,
       not exists (select from lease_cursor k where k.project_id = $1::integer
                      and k.annotator_id = $2::uuid and k.moved_at > now() - interval '1 second')
           as _stale
  from granted g
  join pick on pick.id = g.comparison_id
  join shown on shown.id = g.impression_id
  join prompt p on p.project_id = $1::integer and p.id = pick.prompt_id
  cross join who
 order by pick.place
