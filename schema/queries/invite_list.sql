-- lane: fast
-- Invites of a project, newest first. Owners only.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: invite_pkey
select i.id, i.role::text as role, i.name, i.created_at, i.expires_at, i.uses_left, i.used,
       i.id as _after
  from invite i
 where i.project_id = $1::integer and i.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid
                                      and x.role = 'owner')
 order by i.id desc limit $4::integer
