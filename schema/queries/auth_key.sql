-- lane: fast
-- Whose API key this is; its role counts only in its own project.
-- $1 token hash
-- $2 project slug, or null
-- index: api_key_token
select k.id, k.name as login, k.name, false as is_admin,
       case when $2::text is null or p.slug = $2::text then p.id
            else (select o.id from project o where o.slug = $2::text) end as project_id,
       case when $2::text is null or p.slug = $2::text then k.role::text end as role,
       coalesce(k.last_used_at < now() - interval '1 minute', true) as touch
  from api_key k join project p on p.id = k.project_id
 where k.token_hash = $1::bytea and k.revoked_at is null
