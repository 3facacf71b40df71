-- lane: write
-- A vote on a round, which supersedes the one before; the same again changes nothing. Both answers are
-- known by their ids, also while they are still being given.
-- $1 project id
-- $2 principal id
-- $3 round id
-- $4 choice: A, B, tie, both_bad
-- $5 id of the vote
-- index: arena_round_pkey, conversation_pkey
-- Result: one row, or none when the round is not theirs; id null: the conversation has ended.
with round as materialized (
    select r.id, r.impression_id, r.answer_ids, r.vote_id, c.ended_at,
           case $4::text when 'A' then 1 when 'B' then 2 end as slot
      from arena_round r
     cross join lateral (select end_user_id, ended_at from conversation
                          where project_id = $1::integer and id = r.conversation_id offset 0) c
     where r.project_id = $1::integer and r.id = $3::uuid and c.end_user_id = $2::uuid
       and exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid)
       for update of r),
stands as materialized (
    select f.id from round r join feedback f on f.project_id = $1::integer and f.id = r.vote_id
     where f.detail ->> 'choice' = $4::text and r.ended_at is null),
told as (
    insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source,
                          supersedes, xid, at)
    select $1::integer, $5::uuid, r.impression_id, $2::uuid, 'vote',
           jsonb_strip_nulls(jsonb_build_object('answer', r.answer_ids[r.slot],
                                                'over', r.answer_ids[3 - r.slot],
                                                'choice', $4::text, 'round', r.id)),
           'arena', r.vote_id, ledger_xid(), now()
      from round r where r.ended_at is null and not exists (select from stands)
    returning id),
marked as (
    update arena_round r set vote_id = t.id from told t
     where r.project_id = $1::integer and r.id = $3::uuid)
select coalesce((select id from told), (select id from stands)) as id from round
