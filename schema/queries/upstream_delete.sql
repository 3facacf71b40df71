-- lane: write
-- Takes a model server away, by its id or its name. Owners only (or the command line).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 id, or null
-- $4 name, or null
-- $5 audit id
-- index: upstream_name_unique
with gone as (
    delete from upstream
     where project_id = $1::integer and (id = $3::uuid or name = $4::text)
       and ($2::uuid is null
            or exists (select from access x where x.project_id = $1::integer
                          and x.principal_id = $2::uuid and x.role = 'owner'))
    returning name)
insert into audit (id, project_id, actor_id, actor, action, subject)
select $5::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'upstream.delete', name
  from gone
returning id
