-- lane: fast
-- A person's own answers and skips in a project, newest first, sides as they were shown.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: feedback_past_project_id_annotator_id_id_idx
select f.id, f.impression_id as lease_id, f.at, f.kind,
       choice_to_slot(i.shown, f.choice) as choice, f.strength,
       case when f.kind = 'judgment' then judgment_body(i.shown, f.choice, f.strength, f.detail,
                                                        f.duration_ms)
            else f.detail end as body,
       task_excerpt($1::integer, f.comparison_id, i.shown) as excerpt,
       exists (select from feedback s where s.project_id = $1::integer and s.supersedes = f.id)
           as retracted,
       (select count(*) from feedback e where e.project_id = $1::integer
           and e.comparison_id = f.comparison_id and e.annotator_id = $2::uuid
           and e.kind = 'judgment' and e.id < f.id) as revisions,
       f.id as _after
  from feedback f
  join impression i on i.project_id = $1::integer and i.id = f.impression_id
 where f.project_id = $1::integer and f.annotator_id = $2::uuid
   and f.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and f.kind in ('judgment', 'skip')
   and not exists (select from feedback s where s.project_id = $1::integer and s.supersedes = f.id
                                            and s.kind = 'judgment')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid)
 order by f.id desc limit $4::integer
