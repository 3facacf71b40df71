-- lane: write
-- Changes an account's own name, preferences or password. A new password closes every session and
-- opens the one given.
-- $1 account id
-- $2 name, or null
-- $3 preferences, or null
-- $4 password hash, or null
-- $5 new session token hash, or null
-- $6 audit id
-- index: account_pkey
with changed as (
    update account set name = coalesce($2::text, name),
                       preferences = coalesce($3::json, preferences),
                       password_hash = coalesce($4::text, password_hash)
     where id = $1::uuid and not is_disabled
    returning id, login),
closed as (
    delete from session where account_id = $1::uuid and $4::text is not null),
opened as (
    insert into session (token_hash, account_id, expires_at)
    select $5::bytea, id, now() + interval '30 days' from changed where $4::text is not null),
noted as (
    insert into audit (id, actor_id, actor, action, subject)
    select $6::uuid, id, login, 'account.password', login from changed where $4::text is not null)
select id from changed
