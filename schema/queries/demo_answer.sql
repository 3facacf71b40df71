-- lane: fast
-- One of the project's own completions, for the upstream demo: an answer to the same question where
-- there is one, else to any. Asked again, another than the same model gave last, where there is one.
-- $1 project id
-- $2 question
-- $3 model as asked for: "demo-N" begins with the N-th completion of a comparison
-- $4 seed, for whom any will do
-- $5 turn it answers
-- $6 what stands before every canned answer
-- index: comparison_pkey, answer_turn
with near as materialized (  -- the first comparisons are enough for a demo
    select c.completion_ids, (case json_typeof(p.messages) when 'string' then p.messages #>> '{}'
                                   else p.messages -> -1 ->> 'content' end) = $2::text as same
      from (select prompt_id, completion_ids from comparison
             where project_id = $1::integer order by id limit 200) c
     cross join lateral (select messages from prompt
                          where project_id = $1::integer and id = c.prompt_id offset 0) p),
found as materialized (      -- those of the question itself, or a few others
    select completion_ids, row_number() over (order by md5(completion_ids[1]::text || $4::text)) as nth
      from near
     where same or not exists (select from near where same)
     order by 2 limit 4),
given as materialized (
    select content, coalesce(detail ->> 'asked', model) = $3::text as own, id
      from answer where project_id = $1::integer and turn_id = $5::uuid)
select k.content
  from found
 cross join lateral unnest(completion_ids) with ordinality as u (id, place)
 cross join lateral (select content from completion
                      where project_id = $1::integer and id = u.id offset 0) k
 where k.content is not null
 order by $6::text || k.content = coalesce((select content from given where own
                                             order by id desc limit 1), ''),
       (select count(*) from given g where g.own and g.content = $6::text || k.content),
       nth,
       (u.place - coalesce(substring($3::text from '^demo-([1-9])$')::bigint,
                           ('x' || right(md5($4::text), 7))::bit(28)::bigint)
        + 1000000000 * cardinality(completion_ids)::bigint) % cardinality(completion_ids)
 limit 1
