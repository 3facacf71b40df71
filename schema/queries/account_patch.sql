-- lane: write
-- An administrator changes an account. The last enabled administrator stays one.
-- $1 account id
-- $2 name, or null
-- $3 admin, or null
-- $4 disabled, or null
-- $5 audit id
-- $6 actor id
-- index: account_pkey
with others as (
    select count(*) as n from account
     where is_admin and not is_disabled and id <> $1::uuid),
changed as (
    update account a set name = coalesce($2::text, name), is_admin = coalesce($3::boolean, is_admin),
                         is_disabled = coalesce($4::boolean, is_disabled)
      from others
     where a.id = $1::uuid
       and (others.n > 0 or not a.is_admin
            or (coalesce($3::boolean, true) and not coalesce($4::boolean, false)))
    returning a.id, a.login, a.name, a.is_admin, a.is_disabled, a.created_at),
closed as (
    delete from session using changed
     where session.account_id = changed.id and changed.is_disabled),
noted as (
    insert into audit (id, actor_id, actor, action, subject, detail)
    select $5::uuid, $6::uuid, coalesce((select login from account where id = $6::uuid), ''),
           'account.change', login,
           jsonb_build_object('admin', is_admin, 'disabled', is_disabled) from changed)
select id, login, name, is_admin as admin, is_disabled as disabled, created_at,
       (select n from others) as _others
  from changed
