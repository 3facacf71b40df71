-- lane: fast
-- What signing in needs to know about a login.
-- $1 login
-- index: account_login_unique
select id, password_hash, is_disabled from account where login = $1::text
