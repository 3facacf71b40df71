-- lane: fast
-- What was done in a project, newest first. Owners only.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: audit_project
select a.id, a.at, a.actor, a.action, a.subject, a.detail, a.id as _after
  from audit a
 where a.project_id = $1::integer and a.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid
                                      and x.role = 'owner')
 order by a.id desc limit $4::integer
