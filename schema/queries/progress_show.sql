-- lane: slow
-- How far a project is, and how fast it goes. Researchers also see who judged how much.
-- $1 project id
-- $2 principal id
-- index: comparison_pkey
with who as materialized (
    select x.role from access x where x.project_id = $1::integer and x.principal_id = $2::uuid),
counts as materialized (
    select count(*) as total, count(*) filter (where answered >= wanted and wanted > 0) as complete,
           count(*) filter (where taken > answered) as in_progress,
           coalesce(sum(answered), 0) as answered, coalesce(sum(wanted), 0) as wanted,
           count(*) filter (where answered < wanted) as open
      from comparison where project_id = $1::integer),
standing as materialized (
    select f.annotator_id, f.at, f.duration_ms, choice_to_slot(i.shown, f.choice) as side
      from feedback f
      join impression i on i.project_id = $1::integer and i.id = f.impression_id
     where f.project_id = $1::integer and f.kind = 'judgment' and f.source = 'annotate'
       and not exists (select from feedback s where s.project_id = $1::integer
                                                and s.supersedes = f.id)),
pace as materialized (       -- over the hours of the last day in which anything was judged
    select count(*)::double precision / nullif(count(distinct date_trunc('hour', at)), 0) as per_hour,
           count(*) as day
      from standing where at > now() - interval '24 hours'),
span as materialized (
    select case when coalesce(max(at) - min(at), interval '0') > interval '3 days' then 'day'
                else 'hour' end as bucket from standing)
select json_build_object(
    'comparisons', json_build_object('total', c.total, 'complete', c.complete, 'open', c.open,
                                     'in_progress', c.in_progress),
    'judgments', json_build_object('total', (select count(*) from standing), 'wanted', c.wanted,
         'today', (select count(*) from standing where at >= date_trunc('day', now())),
         'mine', (select count(*) from standing where annotator_id = $2::uuid),
         'mine_today', (select count(*) from standing where annotator_id = $2::uuid
                                                        and at >= date_trunc('day', now()))),
    'rate_per_hour', coalesce(round(pace.per_hour::numeric, 1), 0),
    'seconds_left', case when pace.per_hour > 0
                         then round(greatest(c.wanted - c.answered, 0) / pace.per_hour * 3600) end,
    'median_duration_ms', (select percentile_cont(0.5) within group (order by duration_ms)
                             from standing where duration_ms is not null),
    'bucket', span.bucket,
    'series', coalesce((select json_agg(json_build_object('at', time_text(b.at), 'judgments', b.n) order by b.at)
                          from (select date_trunc(span.bucket, at) as at, count(*) as n from standing
                                 where at > now() - interval '180 days' group by 1) b), '[]'::json))::jsonb
    || case when (select role from who) >= 'researcher' then jsonb_build_object(
         'annotators', coalesce((select jsonb_agg(jsonb_build_object('id', b.annotator_id,
               'name', coalesce(a.name, 'key ' || k.name, b.annotator_id::text),
               'judgments', b.n, 'today', b.today, 'median_duration_ms', b.median, 'last_at', time_text(b.last))
               order by b.n desc)
           from (select annotator_id, count(*) as n, max(at) as last,
                        count(*) filter (where at >= date_trunc('day', now())) as today,
                        percentile_cont(0.5) within group (order by duration_ms) as median
                   from standing group by annotator_id order by count(*) desc limit 500) b
           left join account a on a.id = b.annotator_id
           left join api_key k on k.project_id = $1::integer and k.id = b.annotator_id), '[]'),
         'choices', coalesce((select jsonb_object_agg(side, n)
                       from (select side, count(*) as n from standing where side is not null
                              group by side) s), '{}'),
         'skips', (select count(*) from feedback where project_id = $1::integer and kind = 'skip'),
         'retractions', (select count(*) from feedback where project_id = $1::integer
                                                         and kind = 'retraction'))
       else '{}' end as body
  from counts c cross join pace cross join span cross join who
