-- lane: write
-- Adds a model server, or changes the one of that name. Owners only (or the command line).
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 id, used when it is new
-- $4 name
-- $5 url
-- $6 sealed key, or null to keep the one that is there
-- $7 models
-- $8 priority
-- $9 timeout in milliseconds
-- $10 concurrency
-- $11 audit id
with put as (
    insert into upstream (project_id, id, name, url, sealed_key, models, priority, timeout_ms,
                          concurrency)
    select $1::integer, $3::uuid, $4::text, $5::text, $6::bytea, $7::text[], $8::smallint,
           $9::integer, $10::integer
     where $2::uuid is null
        or exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner')
    on conflict on constraint upstream_name_unique do update
        set url = excluded.url, models = excluded.models, priority = excluded.priority,
            timeout_ms = excluded.timeout_ms, concurrency = excluded.concurrency,
            sealed_key = coalesce(excluded.sealed_key,    -- a key goes to the server it was given for
                case when upstream.url = excluded.url then upstream.sealed_key end)
    returning *),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $11::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'upstream.put',
           name, jsonb_build_object('url', url) from put)
select id, name, url, sealed_key is not null as has_key, to_json(models) as models, priority,
       timeout_ms, concurrency, created_at
  from put
