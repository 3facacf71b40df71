-- lane: slow
-- How far a project is, and how fast it goes. Researchers also see who judged how much. Counts are of
-- all standing judgments; medians and sides of the latest 20,000, so that a large project stays quick.
-- $1 project id
-- $2 principal id
with who as materialized (
    select x.role from access x where x.project_id = $1::integer and x.principal_id = $2::uuid),
counts as materialized (
    select count(*) as total, count(*) filter (where answered >= wanted and wanted > 0) as complete,
           count(*) filter (where taken > answered) as in_progress,
           coalesce(sum(answered), 0) as answered, coalesce(sum(wanted), 0) as wanted,
           count(*) filter (where answered < wanted) as open
      from comparison where project_id = $1::integer),
tally as materialized (      -- one pass: judgments by person and hour
    select f.annotator_id, date_trunc('hour', f.at) as hour, count(*) as n, max(f.at) as last
      from feedback f
     where f.project_id = $1::integer and f.kind = 'judgment' and f.source = 'annotate'
       and not exists (select from feedback s where s.project_id = $1::integer
                          and s.supersedes = f.id and s.supersedes is not null)
     group by 1, 2),
latest as materialized (
    select f.annotator_id, f.duration_ms, f.choice, f.impression_id
      from feedback f
     where f.project_id = $1::integer and f.kind = 'judgment' and f.source = 'annotate'
       and not exists (select from feedback s where s.project_id = $1::integer
                          and s.supersedes = f.id and s.supersedes is not null)
     order by f.id desc limit 20000),
people as (
    select annotator_id, sum(n) as n, max(last) as last,
           coalesce(sum(n) filter (where hour >= date_trunc('day', now())), 0) as today
      from tally group by annotator_id order by sum(n) desc limit 500),
medians as (
    select annotator_id, percentile_cont(0.5) within group (order by duration_ms) as median
      from latest group by annotator_id),
sides as (
    select choice_to_slot(i.shown, l.choice) as side, count(*) as n
      from latest l join impression i on i.project_id = $1::integer and i.id = l.impression_id
     where l.choice is not null and (select role from who) >= 'researcher'
     group by 1),
pace as materialized (       -- over the hours of the last day in which anything was judged
    select sum(n) / nullif(count(distinct hour), 0) as per_hour
      from tally where hour > now() - interval '24 hours'),
span as materialized (
    select case when coalesce(max(hour) - min(hour), interval '0') > interval '3 days' then 'day'
                else 'hour' end as bucket from tally)
select json_build_object(
    'comparisons', json_build_object('total', c.total, 'complete', c.complete, 'open', c.open,
                                     'in_progress', c.in_progress),
    'judgments', json_build_object(
         'total', (select coalesce(sum(n), 0) from tally), 'wanted', c.wanted,
         'today', (select coalesce(sum(n), 0) from tally where hour >= date_trunc('day', now())),
         'mine', (select coalesce(sum(n), 0) from tally where annotator_id = $2::uuid),
         'mine_today', (select coalesce(sum(n), 0) from tally
                         where annotator_id = $2::uuid and hour >= date_trunc('day', now()))),
    'rate_per_hour', coalesce(round(pace.per_hour, 1), 0),
    'seconds_left', case when pace.per_hour > 0
                         then round(greatest(c.wanted - c.answered, 0) / pace.per_hour * 3600) end,
    'median_duration_ms', (select percentile_cont(0.5) within group (order by duration_ms)
                             from latest where duration_ms is not null),
    'bucket', span.bucket,
    'series', coalesce((select json_agg(json_build_object('at', time_text(b.at), 'judgments', b.n)
                                        order by b.at)
                          from (select date_trunc(span.bucket, hour) as at, sum(n) as n from tally
                                 where hour > now() - interval '180 days' group by 1) b),
                       '[]'::json))::jsonb
    || case when (select role from who) >= 'researcher' then jsonb_build_object(
         'annotators', coalesce((select jsonb_agg(jsonb_build_object('id', b.annotator_id,
               'name', coalesce(a.name, 'key ' || k.name, b.annotator_id::text),
               'judgments', b.n, 'today', b.today, 'median_duration_ms', m.median,
               'last_at', time_text(b.last)) order by b.n desc)
           from people b
           left join medians m on m.annotator_id = b.annotator_id
           left join account a on a.id = b.annotator_id
           left join api_key k on k.project_id = $1::integer and k.id = b.annotator_id), '[]'),
         'choices', coalesce((select jsonb_object_agg(side, n) from sides where side is not null),
                             '{}'),
         'skips', (select count(*) from feedback where project_id = $1::integer and kind = 'skip'),
         'retractions', (select count(*) from feedback where project_id = $1::integer
                                                         and kind = 'retraction'))
       else '{}' end as body
  from counts c cross join pace cross join span cross join who
