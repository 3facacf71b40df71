-- lane: write
-- Adds a project; the creator owns it.
-- $1 slug
-- $2 title
-- $3 settings
-- $4 creator's account id, or null for the command line
-- $5 audit id
with added as (
    insert into project (slug, title, settings) values ($1::text, $2::text, jsonb_strip_nulls($3::jsonb))
    returning id, slug, title, settings, created_at),
owned as (
    insert into member (project_id, account_id, role)
    select added.id, $4::uuid, 'owner' from added where $4::uuid is not null),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject)
    select $5::uuid, added.id, $4::uuid,
           coalesce((select login from account where account.id = $4::uuid), 'command line'),
           'project.add', slug from added)
select slug, title, 'owner' as role, created_at, settings_full(settings) as _settings from added
