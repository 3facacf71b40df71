-- lane: write
-- Spends an invite: a new account, its membership and its session, or nothing at all.
-- $1 token hash
-- $2 account id
-- $3 login
-- $4 name
-- $5 password hash
-- $6 session token hash
-- $7 audit id
-- index: invite_token
with spent as (
    update invite set uses_left = uses_left - 1, used = used + 1
     where token_hash = $1::bytea and uses_left > 0 and expires_at > now()
    returning project_id, role),
added as (
    insert into account (id, login, name, password_hash)
    select $2::uuid, $3::text, $4::text, $5::text from spent
    returning id, login),
joined as (
    insert into member (project_id, account_id, role)
    select spent.project_id, added.id, spent.role from spent, added),
opened as (
    insert into session (token_hash, account_id, expires_at)
    select $6::bytea, id, now() + interval '30 days' from added),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $7::uuid, spent.project_id, added.id, added.login, 'invite.accept', added.login,
           jsonb_build_object('role', spent.role) from spent, added)
select id from added
