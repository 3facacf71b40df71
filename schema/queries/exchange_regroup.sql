-- lane: write
-- A first turn that is another wording of an earlier one joins its conversation, and says so.
-- $1 project id
-- $2 the conversation that had been begun for it
-- $3 its turn
-- $4 its answer
-- $5 the conversation it belongs to
-- $6 impression of the answer that was asked for in other words
-- $7 that answer
-- $8 end user
-- $9 id of the signal
-- $10 share of the words in common
-- $11 surface
-- index: answer_pkey
with moved_answer as (
    update answer set conversation_id = $5::uuid
     where project_id = $1::integer and id = $4::uuid),
moved_turn as (
    update turn set conversation_id = $5::uuid
     where project_id = $1::integer and id = $3::uuid and conversation_id = $2::uuid),
gone as (
    delete from conversation where project_id = $1::integer and id = $2::uuid)
insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
select $1::integer, $9::uuid, $6::uuid, $8::uuid, 'rephrase',
       jsonb_build_object('answer', $7::uuid, 'by', $4::uuid, 'kept', round($10::numeric, 4),
                          'confidence', 1),
       $11::text, ledger_xid(), now()
