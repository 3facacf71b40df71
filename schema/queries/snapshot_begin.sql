-- lane: write
-- The boundary of a new snapshot: this transaction's own id. Everything below it counts, once all of
-- that has ended (snapshot_settled).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 name
-- index: snapshot_name_unique
-- Result: one row, or none when the principal may not. taken: the name is in use.
select ledger_xid() as boundary,
       exists (select from snapshot s where s.project_id = $1::integer and s.name = $3::text) as taken
 where $2::uuid is null or exists (
       select from access a where a.project_id = $1::integer and a.principal_id = $2::uuid
                              and a.role >= 'researcher')
