-- lane: write
-- Spends an invite for an account that is signed in; a member keeps the higher of the two roles and
-- does not spend it.
-- $1 token hash
-- $2 account id
-- $3 audit id
-- index: invite_token
with found as (
    select i.project_id, i.role, m.role as has
      from invite i left join member m on m.project_id = i.project_id and m.account_id = $2::uuid
     where i.token_hash = $1::bytea and i.uses_left > 0 and i.expires_at > now()),
spent as (
    update invite set uses_left = uses_left - 1, used = used + 1
      from found
     where invite.token_hash = $1::bytea and invite.uses_left > 0
       and (found.has is null or found.has < found.role)
    returning invite.project_id, invite.role),
joined as (
    insert into member (project_id, account_id, role)
    select project_id, $2::uuid, role from spent
    on conflict (project_id, account_id) do update set role = excluded.role),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $3::uuid, project_id, $2::uuid, principal_name(project_id, $2::uuid), 'invite.accept', '',
           jsonb_build_object('role', role) from spent)
select $2::uuid as id from found
