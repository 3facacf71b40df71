-- lane: write
-- Gives a lease back with a reason: it goes to the end of the queue for the others. Skipping it
-- again is the same; an answered lease cannot be skipped.
-- $1 lease id
-- $2 principal id: the annotator
-- $3 feedback id
-- $4 reason
-- index: impression_past_pkey
with lease as materialized (
    select i.project_id, i.id, i.comparison_id
      from access x
      cross join lateral (select * from impression
                           where project_id = x.project_id and id = $1::uuid offset 0) i
     where x.principal_id = $2::uuid and i.annotator_id = $2::uuid and i.surface = 'annotate'),
held as materialized (
    select a.* from lease join assignment a
        on a.project_id = lease.project_id and a.annotator_id = $2::uuid
       and a.comparison_id = lease.comparison_id
       for update of a),
skipped as (
    update assignment a set state = 'skipped' from held
     where a.project_id = held.project_id and a.annotator_id = held.annotator_id
       and a.comparison_id = held.comparison_id and held.state in ('leased', 'expired')
    returning a.project_id, a.comparison_id, held.state as was),
freed as (
    update comparison c set taken = taken - 1, queued_xid = ledger_xid()
      from skipped s
     where c.project_id = s.project_id and c.id = s.comparison_id and s.was = 'leased'),
noted as (
    insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, detail,
                          source, xid, at)
    select lease.project_id, $3::uuid, lease.id, $2::uuid, lease.comparison_id, 'skip',
           jsonb_build_object('reason', $4::text), 'annotate', ledger_xid(), now()
      from lease cross join skipped)
select lease.id, held.state in ('answered', 'retracted') as _answered
  from lease join held on true
