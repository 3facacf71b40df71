-- lane: write
-- Makes an invite link. Owners only.
-- $1 project id
-- $2 principal id
-- $3 id
-- $4 token hash
-- $5 role
-- $6 name
-- $7 hours until it expires
-- $8 uses
-- $9 audit id
with added as (
    insert into invite (project_id, id, token_hash, role, name, created_by, expires_at, uses_left)
    select $1::integer, $3::uuid, $4::bytea, $5::text::project_role, $6::text, $2::uuid,
           now() + make_interval(hours => $7::integer), $8::integer
     where exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner')
    returning id, role, name, created_at, expires_at, uses_left, used),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $9::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'invite.add', id::text,
           jsonb_build_object('role', role, 'uses', uses_left, 'expires_at', expires_at) from added)
select id, role::text as role, name, created_at, expires_at, uses_left, used from added
