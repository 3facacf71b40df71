-- lane: fast
-- The SESSION object of an account.
-- $1 account id
-- index: account_pkey
select json_build_object(
         'account', json_build_object('id', a.id, 'login', a.login, 'name', a.name,
              'admin', a.is_admin, 'has_password', a.password_hash is not null,
              'preferences', a.preferences),
         'projects', coalesce((select json_agg(json_build_object('slug', p.slug, 'title', p.title,
                                                                 'role', x.role) order by p.slug)
                                 from access x join project p on p.id = x.project_id
                                where x.principal_id = a.id), '[]'::json),
         'key', null) as body
  from account a where a.id = $1::uuid
