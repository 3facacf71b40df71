-- lane: stream
-- A project's comparisons with their completions and standing judgments, in the order of import.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 boundary: only what was committed below this ledger transaction id, or null
-- $4 first split bucket, or null
-- $5 split bucket after the last, or null
-- $6 tag, or null
-- $7 source: explicit, implicit or all (or null)
-- $8 judgments since this time only, and comparisons that have any; or null
-- $9 fewest judgments, or null
-- $10 true: names of accounts and keys too (owners)
-- $11 limit of comparisons, or null
-- index: comparison_pkey
-- Result: see server/api/transfer.c, which reads the columns by position.
select c.key, p.messages, p.group_name, c.tags, c.metadata, c.gold, c.priority,
       k.models, k.contents, k.metadata as completion_metadata,
       j.annotators, j.names, j.choices, j.strengths, j.details, j.shown, j.durations, j.sources,
       j.times
  from (select a.role from access a
         where a.project_id = $1::integer and a.principal_id = $2::uuid and a.role >= 'researcher'
        union all
        select 'owner' where $2::uuid is null) x
 cross join comparison c
 cross join lateral (             -- offset 0: one look-up a row, whatever the planner thinks
       select messages, group_name, split_bucket from prompt
        where project_id = $1::integer and id = c.prompt_id offset 0) p
 cross join lateral (
       select array_agg(name) as models, array_agg(content) as contents,
              array_agg(metadata) as metadata
         from (select m.name, t.content, t.metadata::text
                 from unnest(c.completion_ids) with ordinality as u (id, place)
                cross join lateral (
                      select content, metadata, model_id from completion
                       where project_id = $1::integer and id = u.id offset 0) t
                 left join model m on m.project_id = $1::integer and m.id = t.model_id
                order by u.place) as listed) k
 cross join lateral (
       with said as materialized (
           select * from feedback f
            where f.project_id = $1::integer and f.comparison_id = c.id
              and ($3::bigint is null or f.xid < $3::bigint))
       select count(*) as judgments, array_agg(f.annotator_id) as annotators,
              array_agg(coalesce(n.name, case when $10::boolean and x.role = 'owner' then coalesce(
                  (select login from account where account.id = f.annotator_id),
                  (select 'key ' || a.name from api_key a
                    where a.project_id = $1::integer and a.id = f.annotator_id)) end)) as names,
              array_agg(f.choice) as choices, array_agg(f.strength) as strengths,
              array_agg(f.detail::text) as details, array_agg(i.shown::text) as shown,
              array_agg(f.duration_ms) as durations, array_agg(f.source) as sources,
              array_agg(f.at) as times
         from said f
         left join impression i on i.project_id = $1::integer and i.id = f.impression_id
         left join annotator n on n.project_id = $1::integer and n.id = f.annotator_id
        where f.kind = 'judgment' and not exists (select from said s where s.supersedes = f.id)
          and case $7::text when 'explicit' then f.source not like 'implicit:%'
                            when 'implicit' then f.source like 'implicit:%' else true end
          and ($8::timestamptz is null or f.at >= $8::timestamptz)) j
 where c.project_id = $1::integer
   and ($3::bigint is null or c.created_xid < $3::bigint)
   and p.split_bucket >= coalesce($4::integer, 0) and p.split_bucket < coalesce($5::integer, 10000)
   and ($6::text is null or $6::text = any (c.tags))
   and j.judgments >= coalesce($9::integer, 0)
   and ($8::timestamptz is null or j.judgments > 0)
 order by c.id
 limit $11::bigint
