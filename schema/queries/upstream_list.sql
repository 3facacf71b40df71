-- lane: fast
-- A project's model servers, in the order in which they are asked. Owners only (or the command line).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 after this name, or null
-- $4 limit
-- index: upstream_name_unique
select u.id, u.name, u.url, u.sealed_key is not null as has_key, to_json(u.models) as models,
       u.priority, u.timeout_ms, u.concurrency, u.created_at, u.name as _after
  from upstream u
 where u.project_id = $1::integer and u.name > coalesce($3::text, '')
   and ($2::uuid is null
        or exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner'))
 order by u.name limit $4::integer
