-- lane: fast
-- The password hash of an account, to check the current password before a change.
-- $1 account id
-- index: account_pkey
select id, password_hash from account where id = $1::uuid and not is_disabled
