-- lane: fast
-- An answer in one's own conversation, as it was first shown: what an edit is measured against.
-- $1 project id
-- $2 principal id
-- $3 answer id, or that of an edit of it
-- index: answer_pkey, conversation_pkey
-- Result: one row, or none when it is not theirs.
select o.id, o.content, c.surface, c.ended_at is not null as ended
  from answer a
  join answer o on o.project_id = $1::integer and o.id = coalesce(a.edit_of, a.id)
 cross join lateral (select surface, end_user_id, ended_at from conversation
                      where project_id = $1::integer and id = a.conversation_id offset 0) c
 where a.project_id = $1::integer and a.id = $3::uuid and c.end_user_id = $2::uuid
   and c.surface in ('chat', 'arena')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid)
