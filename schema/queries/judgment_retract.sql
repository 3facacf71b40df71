-- lane: write
-- Withdraws a standing judgment: one's own, or any as owner. The comparison wants an answer again,
-- from somebody else. Withdrawing it again is the same.
-- $1 judgment id
-- $2 principal id
-- $3 feedback id of the retraction
-- index: feedback_past_pkey
with target as materialized (
    select f.project_id, f.id, f.impression_id, f.annotator_id, f.comparison_id, f.source
      from access x
      cross join lateral (select * from feedback
                           where project_id = x.project_id and id = $1::uuid offset 0) f
     where x.principal_id = $2::uuid and f.kind = 'judgment'
       and (f.annotator_id = $2::uuid or x.role = 'owner')),
held as materialized (
    select a.project_id, a.annotator_id, a.comparison_id, a.feedback_id
      from target t join assignment a
        on a.project_id = t.project_id and a.annotator_id = t.annotator_id
       and a.comparison_id = t.comparison_id
       for update of a),
counter as materialized (
    select c.id from target t join comparison c
        on c.project_id = t.project_id and c.id = t.comparison_id
       for update of c),
decided as materialized (
    select t.*, (select count(*) from counter) as locked, case
             when exists (select from feedback s where s.project_id = t.project_id
                             and s.supersedes = t.id and s.kind = 'retraction') then 'same'
             when exists (select from feedback s where s.project_id = t.project_id
                             and s.supersedes = t.id) then 'superseded'
             when h.comparison_id is not null and h.feedback_id is distinct from t.id then 'superseded'
             else 'retracted' end as outcome, h.comparison_id is not null as assigned
      from target t left join held h on true),
noted as (
    insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, source,
                          supersedes, xid, at)
    select project_id, $3::uuid, impression_id, annotator_id, comparison_id, 'retraction', source,
           id, ledger_xid(), now()
      from decided where outcome = 'retracted'),
opened as (
    update assignment a set state = 'retracted', feedback_id = null from decided d
     where a.project_id = d.project_id and a.annotator_id = d.annotator_id
       and a.comparison_id = d.comparison_id and d.outcome = 'retracted' and d.assigned),
counted as (
    update comparison c set answered = greatest(answered - 1, 0), taken = greatest(taken - 1, 0),
                            queued_xid = ledger_xid()
      from decided d
     where c.project_id = d.project_id and c.id = d.comparison_id and d.outcome = 'retracted'
       and d.source = 'annotate')
select outcome as _outcome, id from decided
