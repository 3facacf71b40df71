-- lane: write
-- Adds an account with a one-time sign-in link.
-- $1 id
-- $2 login
-- $3 name
-- $4 admin
-- $5 link token hash
-- $6 audit id
-- $7 actor id, or null for the command line
-- $8 password hash, or null
with added as (
    insert into account (id, login, name, is_admin, password_hash)
    values ($1::uuid, $2::text, $3::text, $4::boolean, $8::text)
    returning id, login, name, is_admin, created_at),
linked as (
    insert into sign_in_link (token_hash, account_id, expires_at)
    select $5::bytea, id, now() + interval '7 days' from added where $5::bytea is not null
    returning expires_at),
noted as (
    insert into audit (id, actor_id, actor, action, subject, detail)
    select $6::uuid, $7::uuid, coalesce((select login from account where id = $7::uuid), 'command line'),
           'account.add', login, jsonb_build_object('admin', is_admin) from added)
select json_build_object('id', id, 'login', login, 'name', name, 'admin', is_admin,
                         'disabled', false, 'created_at', time_text(created_at)) as account,
       (select expires_at from linked) as expires_at
  from added
