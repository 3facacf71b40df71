-- lane: write
-- Records that a person changed an answer that had been shown, and went on from their own text.
-- $1 project id
-- $2 id of the changed answer
-- $3 the answer that was shown
-- $4 the changed text
-- $5 its digest
-- $6 end user, or null
-- $7 id of the signal
-- $8 share of the words that were kept
-- $9 confidence in who speaks
-- $10 surface
-- index: answer_pkey
with shown as (
    select * from answer where project_id = $1::integer and id = $3::uuid),
kept as (
    insert into answer (project_id, id, turn_id, conversation_id, edit_of, model, content, digest,
                        finish, xid)
    select project_id, $2::uuid, turn_id, conversation_id, id, model, $4::text, $5::uuid, 'edited',
           ledger_xid()
      from shown
    on conflict do nothing)
insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
select project_id, $7::uuid, impression_id, $6::uuid, 'edit',
       jsonb_build_object('answer', id, 'by', $2::uuid, 'kept', round($8::numeric, 4),
                          'confidence', $9::real),
       $10::text, ledger_xid(), now()
  from shown
