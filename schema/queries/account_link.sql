-- lane: write
-- A new one-time sign-in link for an account; older unused ones stop working.
-- $1 account id
-- $2 link token hash
-- $3 audit id
-- $4 actor id, or null for the command line
-- index: account_pkey
with target as (select id, login from account where id = $1::uuid and not is_disabled),
older as (delete from sign_in_link where account_id = $1::uuid and used_at is null),
noted as (
    insert into audit (id, actor_id, actor, action, subject)
    select $3::uuid, $4::uuid, coalesce((select login from account where id = $4::uuid), 'command line'),
           'account.link', login from target)
insert into sign_in_link (token_hash, account_id, expires_at)
select $2::bytea, id, now() + interval '7 days' from target
returning expires_at
