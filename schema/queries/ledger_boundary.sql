-- lane: fast
-- The boundary of what is committed now: every ledger transaction below it has ended. What is read
-- below it stays the same, whatever is added later. Read only, unlike a snapshot's (snapshot_begin).
-- Result: one row.
select ledger_xmin() as boundary
