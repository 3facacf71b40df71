-- lane: slow
-- Everybody's answers in a project, newest first. Researchers and owners; names for owners only.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: feedback_past_pkey
select f.id, f.impression_id as lease_id, f.at, f.kind, f.source,
       choice_to_slot(i.shown, f.choice) as choice, f.strength,
       case when f.kind = 'judgment' then judgment_body(i.shown, f.choice, f.strength, f.detail,
                                                        f.duration_ms)
            else f.detail end as body,
       task_excerpt($1::integer, f.comparison_id, i.shown) as excerpt,
       exists (select from feedback s where s.project_id = $1::integer and s.supersedes = f.id)
           as retracted,
       f.annotator_id as _annotator_id, n.name as _annotator_name,
       case when x.role = 'owner' then
           coalesce((select login from account where account.id = f.annotator_id),
                    (select 'key ' || k.name from api_key k
                      where k.project_id = $1::integer and k.id = f.annotator_id), n.name) end
           as _annotator_login,
       f.id as _after
  from access x
  join feedback f on f.project_id = x.project_id
  join impression i on i.project_id = $1::integer and i.id = f.impression_id
  left join annotator n on n.project_id = $1::integer and n.id = f.annotator_id
 where x.project_id = $1::integer and x.principal_id = $2::uuid and x.role >= 'researcher'
   and f.project_id = $1::integer
   and f.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and f.kind in ('judgment', 'skip')
   and not exists (select from feedback s where s.project_id = $1::integer and s.supersedes = f.id
                                            and s.kind = 'judgment')
 order by f.id desc limit $4::integer
