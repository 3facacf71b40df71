-- lane: fast
-- One conversation of a person: its turns, and their answers with what the person said of them.
-- $1 project id
-- $2 principal id
-- $3 conversation id
-- index: conversation_pkey, answer_conversation, arena_round_conversation, feedback_past_project_id_annotator_id_id_idx
-- Result: a row an answer, by turn; turns without one too. No row: it is not theirs.
with mine as materialized (
    select c.*, partition_bound(least(id_time(c.id), c.at) - interval '1 day') as since
      from (select * from conversation
             where project_id = $1::integer and id = $3::uuid offset 0) c
     where c.end_user_id = $2::uuid and c.surface in ('chat', 'arena')
       and exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid)),
rounds as materialized (
    select r.id, r.turn_id, r.answer_ids, v.detail ->> 'choice' as choice
      from mine m
      join arena_round r on r.project_id = $1::integer and r.conversation_id = m.id
      left join feedback v on v.project_id = $1::integer and v.id = r.vote_id),
slots as (
    select u.id, u.place, r.id as round_id, r.choice
      from rounds r cross join lateral unnest(r.answer_ids) with ordinality as u (id, place)),
answers as materialized (
    select a.id, a.turn_id, a.content, a.finish, a.edit_of,
           coalesce(a.detail ->> 'asked', o.detail ->> 'asked', a.model) as model
      from mine m
      join answer a on a.project_id = $1::integer and a.conversation_id = m.id
      left join answer o on o.project_id = $1::integer and o.id = a.edit_of),
told as materialized (
    select f.id, f.kind, (f.detail ->> 'answer')::uuid as answer_id,
           coalesce((f.detail ->> 'value')::double precision, 5) as value
      from feedback f
     where f.project_id = $1::integer and f.annotator_id = $2::uuid
       and f.id >= (select since from mine) and f.kind in ('thumb_up', 'thumb_down', 'star')),
turns as (
    select t.* from (select turn_id from answers union select turn_id from rounds) s
      join turn t on t.project_id = $1::integer and t.id = s.turn_id)
select m.id, m.surface, m.ended_at is not null as ended,
       t.id as turn_id, t.parent_id, coalesce(t.messages -> -1 ->> 'content', '') as said, time_text(t.at) as at,
       l.id as round_id, l.choice,
       a.id as answer_id, chr(ascii('A') - 1 + s.place::integer) as slot,
       s.round_id as answer_round_id, a.content, a.finish, a.edit_of,
       case when m.surface = 'chat' or m.ended_at is not null then a.model end as model,
       (select substr(kind, 7) from told
         where answer_id = a.id and kind <> 'star' order by id desc limit 1) as thumb,
       (select value from told
         where answer_id = a.id and kind = 'star' order by id desc limit 1) as star,
       coalesce(s.choice = chr(ascii('A') - 1 + s.place::integer), false) as vote
  from mine m
  left join turns t on true
  left join answers a on a.turn_id = t.id
  left join slots s on s.id = a.id
  left join lateral (select r.id, r.choice from rounds r
                      where r.turn_id = t.id order by r.id desc limit 1) l on true
 order by t.at, t.id, a.id
