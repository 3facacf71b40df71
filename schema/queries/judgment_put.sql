-- lane: merge
-- Records judgments: the first for its lease, the same again, or a revision that supersedes. Counts
-- never exceed wanted: assignment and comparison are locked before they are looked at.
-- Elements of the arrays belong together; a row of the result answers the element _place.
-- $1 lease ids
-- $2 principal ids: the annotators
-- $3 feedback ids
-- $4 choices: a slot, tie, both_bad, cannot_judge, or null
-- $5 strengths, or null
-- $6 details in slots, or null
-- $7 durations in milliseconds, or null
-- index: impression_past_pkey
-- Result: outcome first | late | revision | same | lost | invalid | again. No row: no such lease.
with asked as materialized (
    select a.*
      from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::jsonb[],
                  $7::integer[])
           with ordinality as a (lease_id, principal_id, new_id, said, strength, said_detail,
                                 duration_ms, place)),
lease as materialized (      -- offset 0: first whose projects, then one index descent in each
    select a.*, i.project_id, i.comparison_id, i.shown,
           judgment_problem(p.settings, i.shown, a.said, a.strength, a.said_detail) as problem
      from asked a
      cross join lateral (select project_id from access
                           where principal_id = a.principal_id offset 0) x
      cross join lateral (select * from impression
                           where project_id = x.project_id and id = a.lease_id offset 0) i
      join project p on p.id = i.project_id
     where i.annotator_id = a.principal_id and i.surface = 'annotate'),
held as materialized (       -- in one order for everybody: batches wait for each other, never in a ring
    select lease.*, s.state, s.feedback_id as standing_id, c.wanted - c.answered as room
      from (select * from lease order by project_id, comparison_id, place) lease
      join assignment s on s.project_id = lease.project_id and s.annotator_id = lease.principal_id
                       and s.comparison_id = lease.comparison_id
      join comparison c on c.project_id = lease.project_id and c.id = lease.comparison_id
       for update of s, c),
judged as materialized (     -- two answers of one person to one comparison: the second comes again
    select h.*, prior.at as prior_at,
           case when h.problem is null then choice_to_index(h.shown, h.said) end as choice,
           case when h.problem is null and h.said_detail is not null
                then slots_map_detail(h.shown, h.said_detail, false) end as detail,
           prior.id as prior_id, prior.choice as prior_choice, prior.strength as prior_strength,
           prior.detail as prior_detail, prior.duration_ms as prior_duration_ms,
           prior.impression_id as prior_lease_id,
           row_number() over (partition by h.project_id, h.comparison_id, h.principal_id
                              order by h.place) as turn
      from held h
      left join lateral (select * from feedback f
                          where f.project_id = h.project_id and f.id = h.standing_id
                            and h.standing_id is not null offset 0) prior on true),
stepped as materialized (
    select j.*, case
             when turn > 1 then 'again'
             when problem is not null then 'invalid'
             when prior_id is not null
                  and (prior_choice, prior_strength, prior_detail, prior_duration_ms, prior_lease_id)
                      is not distinct from (choice, strength::smallint, detail, duration_ms, lease_id)
                 then 'same'
             when standing_id is not null then 'revision'
             else 'new' end as step
      from judged j),
decided as materialized (
    select s.*, case
             when step <> 'new' then step
             when row_number() over (partition by project_id, comparison_id, step order by place)
                  > room then 'lost'
             when state = 'leased' then 'first'
             else 'late' end as outcome
      from stepped s),
noted as (
    insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, choice,
                          strength, detail, duration_ms, source, supersedes, xid, at)
    select project_id, new_id, lease_id, principal_id, comparison_id, 'judgment', choice,
           strength::smallint, detail, duration_ms, 'annotate', standing_id,
           (select ledger_xid()), now()
      from decided where outcome in ('first', 'late', 'revision')),
closed as (
    update assignment s set state = 'answered', feedback_id = d.new_id
      from decided d
     where s.project_id = d.project_id and s.annotator_id = d.principal_id
       and s.comparison_id = d.comparison_id and d.outcome in ('first', 'late', 'revision')),
counted as (
    update comparison c set answered = answered + d.answers, taken = taken + d.late
      from (select project_id, comparison_id, count(*)::smallint as answers,
                   (count(*) filter (where outcome = 'late'))::smallint as late
              from decided where outcome in ('first', 'late')
             group by project_id, comparison_id) d
     where c.project_id = d.project_id and c.id = d.comparison_id)
select place as _place, outcome as _outcome, problem as _problem,
       case outcome when 'same' then standing_id else new_id end as id, lease_id,
       outcome = 'revision' as revision,
       case outcome when 'same' then prior_at else now() end as created_at
  from decided
