-- lane: slow
-- Has every transaction below the boundary ended? If not, waits a moment before it says so.
-- $1 boundary
with seen as materialized (select ledger_xmin() >= $1::bigint as settled)
select settled from seen,
       lateral (select case when not settled then pg_sleep(0.05) end offset 0) as moment
