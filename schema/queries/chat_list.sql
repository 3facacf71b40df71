-- lane: fast
-- A person's own conversations, the latest first.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: conversation_user, answer_conversation, arena_round_conversation
select c.id, c.surface,
       coalesce((select left(regexp_replace(t.messages -> -1 ->> 'content', '\s+', ' ', 'g'), 100)
                   from turn t where t.project_id = $1::integer and t.id = n.first_id), '') as title,
       c.at, c.ended_at is not null as ended, n.turns, c.id as _after
  from conversation c
 cross join lateral (
       select count(distinct s.turn_id) as turns, (array_agg(s.turn_id order by s.id))[1] as first_id
         from (select a.id, a.turn_id from answer a
                where a.project_id = $1::integer and a.conversation_id = c.id
               union all
               select r.id, r.turn_id from arena_round r
                where r.project_id = $1::integer and r.conversation_id = c.id) s) n
 where c.project_id = $1::integer and c.end_user_id = $2::uuid and c.surface in ('chat', 'arena')
   and c.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid)
 order by c.id desc limit $4::integer
