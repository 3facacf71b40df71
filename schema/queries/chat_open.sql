-- lane: fast
-- Where something that a page asks belongs: in the caller's own conversation, after an answer, to a
-- turn that is there, or in a slot of a round.
-- $1 project id
-- $2 principal id
-- $3 conversation id
-- $4 answer it goes on from, or null
-- $5 turn, or null
-- $6 round, or null
-- $7 slot of the round, from 1, or null
-- $8 answers are counted up to this many
-- index: conversation_pkey, turn_pkey, answer_pkey
-- Result: one row, or none when the project is not the caller's. found: what was named is there;
-- turn_id of a turn that is there, parent_id the answer it follows; messages up to that turn or, with
-- the answer as JSON after them, up to what is gone on from.
select c.id is not null as known, c.end_user_id = $2::uuid as mine, c.surface,
       c.ended_at is not null as ended,
       ($4::uuid is null or p.id is not null) and ($5::uuid is null or t.id is not null)
           and ($6::uuid is null or r.answer_ids[$7::integer] is not null) as found,
       case when p.id is null then t.id end as turn_id, coalesce(p.id, t.parent_id) as parent_id,
       case when c.end_user_id = $2::uuid then turn_messages($1::integer, t.id) end as messages,
       case when c.end_user_id = $2::uuid and p.id is not null
            then coalesce(p.message, json_build_object('role', 'assistant', 'content', p.content)) end
           as answer,
       (select count(*) from (select from answer
                               where project_id = $1::integer and conversation_id = $3::uuid
                               limit $8::integer) n) as answers,
       r.models[$7::integer] as model, r.answer_ids[$7::integer] as answer_id, r.impression_id,
       exists (select from answer where project_id = $1::integer
                  and id = r.answer_ids[$7::integer]) as taken
  from (select from access where project_id = $1::integer and principal_id = $2::uuid limit 1) x
  left join conversation c on c.project_id = $1::integer and c.id = $3::uuid
  left join arena_round r on r.project_id = $1::integer and r.id = $6::uuid
                         and r.conversation_id = c.id
  left join answer p on p.project_id = $1::integer and p.id = $4::uuid
                    and p.conversation_id = c.id
  left join turn t on t.project_id = $1::integer
                  and t.id = coalesce(r.turn_id, $5::uuid, p.turn_id) and t.conversation_id = c.id
