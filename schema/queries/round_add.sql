-- lane: write
-- Begins a round of the arena: two models side by side, one impression. It is also what the person
-- says of the answers before: of the round before on the same turn, both of which are to be tried again
-- (retry), or on another turn after the same answer (rephrase); else of the answer gone on from. An
-- answer of that round that is still being given is told of when it is recorded (exchange_put).
-- $1 project id
-- $2 principal id
-- $3 round id
-- $4 conversation id, begun when it is not there
-- $5 turn id
-- $6 the answer it follows, or null
-- $7 messages of the turn as JSON; null: it is there
-- $8 user messages in the chain
-- $9 model of slot A
-- $10 model of slot B
-- $11 true: A is the second of the two by name
-- $12 probability of these two in this order
-- $13 impression id
-- $14 answer id of slot A
-- $15 answer id of slot B
-- $16 id for the signal about an earlier answer
-- $17 id for the signal about the other one
-- $18 key id, when the principal is one
-- index: arena_round_conversation
-- Result: one row; none when the conversation is not theirs to go on with.
with mine as materialized (
    select 1 as one
      from (select from access where project_id = $1::integer and principal_id = $2::uuid limit 1) x
     where not exists (select from conversation c where c.project_id = $1::integer and c.id = $4::uuid
                          and (c.end_user_id is distinct from $2::uuid or c.surface <> 'arena'
                               or c.ended_at is not null))),
before as materialized (
    select r.answer_ids, r.impression_id, r.turn_id = $5::uuid as same
      from mine
     cross join lateral (
           select r.* from arena_round r
             join turn t on t.project_id = $1::integer and t.id = r.turn_id
            where r.project_id = $1::integer and r.conversation_id = $4::uuid
              and (r.turn_id = $5::uuid or t.parent_id is not distinct from $6::uuid)
            order by r.turn_id = $5::uuid desc, r.id desc limit 1) r),
began as (
    insert into conversation (project_id, id, surface, end_user_id, key_id, confidence)
    select $1::integer, $4::uuid, 'arena', $2::uuid, $18::uuid, 1 from mine
    on conflict do nothing),
said as (
    insert into turn (project_id, id, conversation_id, parent_id, depth, has_user, messages)
    select $1::integer, $5::uuid, $4::uuid, $6::uuid, $8::smallint, true, $7::json
      from mine where $7::json is not null
    on conflict do nothing),
shown as (
    insert into impression (project_id, id, surface, annotator_id, shown, policy, propensity, at)
    select $1::integer, $13::uuid, 'arena', $2::uuid,
           case when $11::boolean then '{1,0}' else '{0,1}' end::smallint[], 'arena-uniform',
           $12::real, now()
      from mine),
told as (
    insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
    select $1::integer, (array[$16::uuid, $17::uuid])[a.slot], b.impression_id, $2::uuid,
           case when b.same then 'retry' else 'rephrase' end,
           jsonb_build_object('answer', a.id, 'by', (array[$14::uuid, $15::uuid])[a.slot],
                              'confidence', 1, 'round', $3::uuid),
           'arena', ledger_xid(), now()
      from before b cross join lateral unnest(b.answer_ids) with ordinality as a (id, slot)
     where exists (select from answer where project_id = $1::integer and id = a.id)
    union all
    select $1::integer, $16::uuid, p.impression_id, $2::uuid, 'continue',
           jsonb_build_object('answer', p.id, 'by', $14::uuid, 'confidence', 1, 'round', $3::uuid),
           'arena', ledger_xid(), now()
      from mine
      join answer p on p.project_id = $1::integer and p.id = $6::uuid and p.impression_id is not null
     where not exists (select from before))
insert into arena_round (project_id, id, conversation_id, turn_id, impression_id, models, answer_ids)
select $1::integer, $3::uuid, $4::uuid, $5::uuid, $13::uuid, array[$9::text, $10::text],
       array[$14::uuid, $15::uuid]
  from mine
returning id
