-- lane: write
-- Opens a session and closes the one it replaces (rotation).
-- $1 token hash
-- $2 account id
-- $3 token hash being replaced, or null
-- index: account_pkey
with replaced as (delete from session where token_hash = $3::bytea),
     stale as (delete from session where account_id = $2::uuid and expires_at < now())
insert into session (token_hash, account_id, expires_at)
select $1::bytea, id, now() + interval '30 days' from account
 where id = $2::uuid and not is_disabled
returning account_id
