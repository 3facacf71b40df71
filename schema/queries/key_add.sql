-- lane: write
-- Makes an API key. Owners only (or the command line).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 id
-- $4 token hash
-- $5 prefix
-- $6 role
-- $7 name
-- $8 audit id
with added as (
    insert into api_key (project_id, id, token_hash, prefix, role, name)
    select $1::integer, $3::uuid, $4::bytea, $5::text, $6::text::project_role, $7::text
     where $2::uuid is null
        or exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner')
    returning id, name, role, created_at, prefix),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $8::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'key.add', id::text,
           jsonb_build_object('role', role, 'name', name) from added)
select id, name, role::text as role, created_at, prefix from added
