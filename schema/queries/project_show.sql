-- lane: fast
-- One project with its settings.
-- $1 project id
-- $2 principal id
-- index: project_pkey
select p.slug, p.title, x.role::text as role, p.created_at, settings_full(p.settings) as _settings
  from project p join access x on x.project_id = p.id and x.principal_id = $2::uuid
 where p.id = $1::integer
