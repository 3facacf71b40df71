-- lane: write
-- Records a judgment: the first for its lease, the same again, or a revision that supersedes. Counts
-- never exceed wanted: the comparison's row is locked before it is looked at.
-- $1 lease id
-- $2 principal id: the annotator
-- $3 feedback id
-- $4 choice: a slot, tie, both_bad, cannot_judge, or null
-- $5 strength, or null
-- $6 detail in slots, or null
-- $7 duration in milliseconds, or null
-- index: impression_past_pkey
-- Result: one row; outcome first | late | revision | same | lost | invalid. No row: no such lease.
with lease as materialized (
    select i.project_id, i.id, i.comparison_id, i.shown, p.settings,
           judgment_problem(p.settings, i.shown, $4::text, $5::integer, $6::jsonb) as problem
      from access x
      cross join lateral (select * from impression
                           where project_id = x.project_id and id = $1::uuid offset 0) i
      join project p on p.id = i.project_id
     where x.principal_id = $2::uuid and i.annotator_id = $2::uuid and i.surface = 'annotate'),
held as materialized (
    select a.state, a.feedback_id, lease.*
      from lease join assignment a
        on a.project_id = lease.project_id and a.annotator_id = $2::uuid
       and a.comparison_id = lease.comparison_id
       for update of a),
place as materialized (      -- locked only when a new answer needs room
    select c.answered < c.wanted as open
      from held join comparison c on c.project_id = held.project_id and c.id = held.comparison_id
     where held.feedback_id is null and held.problem is null
       for update of c),
mapped as materialized (     -- only what fits the task can be mapped
    select held.*, case when problem is null then choice_to_index(shown, $4::text) end as choice,
           case when problem is null then slots_map_detail(shown, $6::jsonb, false) end as detail
      from held),
decided as materialized (
    select m.*, prior.at as prior_at, case
             when m.problem is not null then 'invalid'
             when prior.id is not null
                  and (prior.choice, prior.strength, prior.detail, prior.duration_ms,
                       prior.impression_id)
                      is not distinct from (m.choice, $5::smallint, m.detail, $7::integer, m.id)
                 then 'same'
             when m.feedback_id is not null then 'revision'
             when not (select open from place) then 'lost'
             when m.state = 'leased' then 'first'
             else 'late' end as outcome
      from mapped m
      left join feedback prior on prior.project_id = m.project_id and prior.id = m.feedback_id),
noted as (
    insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, choice,
                          strength, detail, duration_ms, source, supersedes, xid, at)
    select project_id, $3::uuid, id, $2::uuid, comparison_id, 'judgment', choice, $5::smallint,
           detail, $7::integer, 'annotate', feedback_id, ledger_xid(), now()
      from decided where outcome in ('first', 'late', 'revision')
    returning id, at),
closed as (
    update assignment a set state = 'answered', feedback_id = $3::uuid
      from decided d
     where a.project_id = d.project_id and a.annotator_id = $2::uuid
       and a.comparison_id = d.comparison_id and d.outcome in ('first', 'late', 'revision')),
counted as (
    update comparison c
       set answered = answered + 1, taken = taken + case d.outcome when 'late' then 1 else 0 end
      from decided d
     where c.project_id = d.project_id and c.id = d.comparison_id
       and d.outcome in ('first', 'late'))
select outcome as _outcome, problem as _problem,
       case outcome when 'same' then feedback_id else $3::uuid end as id,
       $1::uuid as lease_id, outcome = 'revision' as revision,
       coalesce(n.at, prior_at) as created_at
  from decided left join noted n on true
