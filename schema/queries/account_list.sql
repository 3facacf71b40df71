-- lane: fast
-- Accounts by login, for administrators.
-- $1 administrator's account id
-- $2 after this login, or null
-- $3 limit
-- index: account_login_unique
select a.id, a.login, a.name, a.is_admin as admin, a.is_disabled as disabled, a.created_at,
       a.login as _after
  from account a
 where exists (select from account me where me.id = $1::uuid and me.is_admin and not me.is_disabled)
   and a.login > coalesce($2::text, '')
 order by a.login limit $3::integer
