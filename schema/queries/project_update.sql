-- lane: write
-- Changes title and the given settings of a project. Owners only.
-- $1 project id
-- $2 principal id
-- $3 title, or null
-- $4 settings to change, or null; one that is null goes back to its default
-- $5 audit id
-- index: project_pkey
with changed as (
    update project p set title = coalesce($3::text, title),
                         settings = jsonb_strip_nulls(settings || coalesce($4::jsonb, '{}'))
      from access x
     where p.id = $1::integer and x.project_id = p.id and x.principal_id = $2::uuid
       and x.role = 'owner'
    returning p.id, p.slug, p.title, p.settings, p.created_at),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $5::uuid, id, $2::uuid, principal_name($1::integer, $2::uuid), 'project.change', slug,
           coalesce($4::jsonb, '{}') - 'instructions' from changed)
select slug, title, 'owner' as role, created_at, settings_full(settings) as _settings,
       (settings_full(settings) ->> 'overlap')::integer as _overlap
  from changed
