-- lane: fast
-- API keys of a project, newest first. Owners only.
-- $1 project id
-- $2 principal id
-- $3 before this id, or null
-- $4 limit
-- index: api_key_pkey
select k.id, k.name, k.role::text as role, k.created_at, k.last_used_at, k.prefix, k.id as _after
  from api_key k
 where k.project_id = $1::integer and k.revoked_at is null
   and k.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid
                                      and x.role = 'owner')
 order by k.id desc limit $4::integer
