-- lane: write
-- Ends a conversation, once: nothing is added any more, and the models are told.
-- $1 project id
-- $2 principal id
-- $3 conversation id
-- index: conversation_pkey, answer_conversation, arena_round_conversation
-- Result: answers with their models; no row when it is not theirs.
with mine as materialized (
    select c.id, c.surface from (select * from conversation
             where project_id = $1::integer and id = $3::uuid offset 0) c
     where c.end_user_id = $2::uuid and c.surface in ('chat', 'arena')
       and exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid)),
ended as (
    update conversation c set ended_at = now() from mine m
     where c.project_id = $1::integer and c.id = $3::uuid and c.ended_at is null),
named as (
    select a.id, coalesce(a.detail ->> 'asked', a.model) as model
      from mine m join answer a on a.project_id = $1::integer and a.conversation_id = m.id
     where m.surface = 'chat' and a.edit_of is null
    union all
    select u.id, u.model
      from mine m join arena_round r on r.project_id = $1::integer and r.conversation_id = m.id
     cross join lateral unnest(r.answer_ids, r.models) as u (id, model))
select coalesce((select json_agg(json_build_object('id', n.id, 'model', n.model) order by n.id)
                   from named n), '[]') as answers
  from mine
