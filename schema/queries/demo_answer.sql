-- lane: fast
-- One of the project's own completions, for the upstream demo: an answer to the same question where
-- there is one, else to any; the seed decides which, so that asking again gives another.
-- $1 project id
-- $2 question
-- $3 model as asked for: "demo-N" takes the N-th completion of a comparison
-- $4 seed
-- index: comparison_pkey
with near as materialized (  -- the first comparisons are enough for a demo
    select c.completion_ids, p.messages
      from (select prompt_id, completion_ids from comparison
             where project_id = $1::integer order by id limit 200) c
     cross join lateral (select messages from prompt
                          where project_id = $1::integer and id = c.prompt_id offset 0) p),
found as materialized (
    select completion_ids
      from near
     order by (case json_typeof(messages) when 'string' then messages #>> '{}'
                    else messages -> -1 ->> 'content' end) <> $2::text,
              md5(completion_ids[1]::text || case when (case json_typeof(messages)
                      when 'string' then messages #>> '{}' else messages -> -1 ->> 'content' end)
                      = $2::text then '' else $4::text end)
     limit 1)
select k.content
  from found
 cross join lateral unnest(completion_ids) with ordinality as u (id, place)
 cross join lateral (select content from completion
                      where project_id = $1::integer and id = u.id offset 0) k
 where k.content is not null
 order by (u.place - coalesce(substring($3::text from '^demo-([1-9])$')::bigint,
                              ('x' || right(md5($4::text), 7))::bit(28)::bigint)
           + 1000000000 * cardinality(completion_ids)::bigint) % cardinality(completion_ids)
 limit 1
