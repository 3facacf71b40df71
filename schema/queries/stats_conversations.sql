-- lane: slow
-- What people do with answers, in all and by model: rates with 95 % Wilson intervals, how long
-- conversations are, how many go how far, and day by day; each figure beside its definition.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 since this time only, or null
-- index: project_pkey
-- Result: one row, column body; none when the principal may not see it.
with shown as materialized (
    select a.id, a.model, a.conversation_id, a.at, a.finish, o.retries is not null as retried,
           o.continues is not null as continued, o.edits is not null as edited, o.thumb,
           o.ended, t.depth
      from answer_outcomes($1::integer, null) o
      join answer a on a.project_id = $1::integer and a.id = o.id
      join turn t on t.project_id = $1::integer and t.id = a.turn_id
     where $3::timestamptz is null or a.at >= $3::timestamptz),
counted as (
    select model, grouping(model) = 1 as whole, count(*) as answers,
           count(*) filter (where retried) as retried, count(*) filter (where continued) as continued,
           count(*) filter (where edited) as edited, count(*) filter (where finish = 'stopped') as stopped,
           count(*) filter (where thumb) as thumbs_up, count(*) filter (where not thumb) as thumbs_down
      from shown group by grouping sets ((model), ())),
rates as (
    select c.whole, c.model, c.answers, c.thumbs_up, c.thumbs_down,
           (select json_object_agg(name, json_build_object(
                       'count', k, 'of', n, 'rate', round(p::numeric, 4),
                       'lower', round(((p + 1.9208 / m - wide) / (1 + 3.8416 / m))::numeric, 4),
                       'upper', round(((p + 1.9208 / m + wide) / (1 + 3.8416 / m))::numeric, 4)))
              from (values ('retry', c.retried, c.answers), ('continue', c.continued, c.answers),
                           ('edit', c.edited, c.answers), ('stop', c.stopped, c.answers),
                           ('thumb_up', c.thumbs_up, c.thumbs_up + c.thumbs_down))
                   as v (name, k, n)
             cross join lateral (select nullif(n, 0)::double precision as m) d
             cross join lateral (select k / m as p) s
             cross join lateral (
                   select 1.96 * sqrt(p * (1 - p) / m + 0.9604 / (m * m)) as wide) w) as rates
      from counted c),
lengths as materialized (
    select conversation_id, least(max(depth), 100) as messages, bool_or(ended is not null) as ended
      from shown group by conversation_id),
length as (
    select count(*) as n, avg(messages) as mean, coalesce(stddev_samp(messages), 0) as deviation
      from lengths),
days as (
    select date_trunc('day', at at time zone 'UTC')::date as day, count(*) as answers,
           count(distinct conversation_id) as conversations, count(*) filter (where retried) as retried,
           count(*) filter (where continued) as continued, count(*) filter (where edited) as edited,
           count(*) filter (where finish = 'stopped') as stopped
      from shown group by 1)
select json_build_object(
    'all', (select json_build_object('answers', answers, 'rates', rates) from rates where whole),
    'models', (select coalesce(json_agg(json_build_object('model', model, 'answers', answers,
                                                          'rates', rates)
                                        order by answers desc, model), '[]')
                 from rates where not whole),
    'length', (select json_build_object('conversations', n, 'mean', round(mean, 3),
                   'lower', round((mean - 1.96 * deviation / sqrt(greatest(n, 1)))::numeric, 3),
                   'upper', round((mean + 1.96 * deviation / sqrt(greatest(n, 1)))::numeric, 3))
                 from length),
    'funnel', (select json_agg(json_build_object('messages', step, 'conversations',
                          (select count(*) from lengths where messages >= step)) order by step)
                 from unnest(array[1, 2, 4, 8, 16, 32]) as step),
    'days', (select coalesce(json_agg(d order by d.day), '[]') from days d),
    'definitions', json_build_object(
        'retry', 'Share of answers for which another was asked instead.',
        'continue', 'Share of answers from which the person went on with another message.',
        'edit', 'Share of answers that the person changed before going on.',
        'stop', 'Share of answers that the person stopped while they were coming.',
        'thumb_up', 'Share of thumbs up among answers that got a thumb; the last one counts.',
        'length', 'Messages the person wrote in a conversation, capped at 100; the interval is the mean plus or minus 1.96 standard errors.',
        'funnel', 'Conversations with at least so many messages of the person.',
        'interval', 'Rates have 95 % Wilson intervals.')) as body
  from project p
 where p.id = $1::integer
   and ($2::uuid is null
        or exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role >= 'researcher'))
