-- lane: write
-- Adds an existing account to a project, or changes its role. Owners only (or the command line).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 login
-- $4 role
-- $5 audit id
-- index: account_login_unique
with added as (
    insert into member (project_id, account_id, role)
    select $1::integer, a.id, $4::text::project_role from account a
     where a.login = $3::text
       and ($2::uuid is null
            or exists (select from access x where x.project_id = $1::integer
                          and x.principal_id = $2::uuid and x.role = 'owner'))
    on conflict (project_id, account_id) do update set role = excluded.role
    returning account_id, role, joined_at),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $5::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'member.add',
           $3::text, jsonb_build_object('role', role) from added)
select a.id, a.login, a.name, added.role::text as role, added.joined_at, 0 as judgments
  from added join account a on a.id = added.account_id
