-- lane: fast
-- Who holds this session, and what they may do in a project.
-- $1 token hash
-- $2 project slug, or null
-- index: session_pkey
select a.id, a.login, a.name, a.is_admin, p.id as project_id, x.role::text as role
  from session s
  join account a on a.id = s.account_id and not a.is_disabled
  left join project p on p.slug = $2::text
  left join access x on x.project_id = p.id and x.principal_id = a.id
 where s.token_hash = $1::bytea and s.expires_at > now()
