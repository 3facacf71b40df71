-- lane: slow
-- Brings every comparison's wanted count to the project's overlap; what opens goes to the queue's end.
-- $1 project id
-- $2 overlap
update comparison
   set wanted = $2::smallint,
       queued_xid = case when taken < $2::smallint then ledger_xid() else queued_xid end
 where project_id = $1::integer and wanted > 0 and wanted <> $2::smallint
