-- lane: write
-- Takes back leases that have run out; their comparisons go to the end of the queue.
-- $1 most leases at a time
-- index: assignment_expiry
with due as materialized (
    select project_id, annotator_id, comparison_id from assignment
     where state = 'leased' and expires_at < now()
     order by expires_at limit $1::integer for update skip locked),
gone as (
    update assignment a set state = 'expired' from due
     where a.project_id = due.project_id and a.annotator_id = due.annotator_id
       and a.comparison_id = due.comparison_id
    returning a.project_id, a.comparison_id),
freed as (
    update comparison c set taken = c.taken - g.leases, queued_xid = ledger_xid()
      from (select project_id, comparison_id, count(*)::smallint as leases from gone
             group by project_id, comparison_id) g
     where c.project_id = g.project_id and c.id = g.comparison_id)
select count(*) as expired from gone
