-- lane: write
-- Spends a one-time sign-in link and opens a session; no row: used, expired or unknown.
-- $1 link token hash
-- $2 session token hash
-- index: sign_in_link_pkey
with spent as (
    update sign_in_link l set used_at = now()
      from account a
     where l.token_hash = $1::bytea and l.used_at is null and l.expires_at > now()
       and a.id = l.account_id and not a.is_disabled
    returning l.account_id)
insert into session (token_hash, account_id, expires_at)
select $2::bytea, account_id, now() + interval '30 days' from spent
returning account_id
