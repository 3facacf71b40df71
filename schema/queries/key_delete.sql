-- lane: write
-- Revokes an API key; its judgments stay. Owners only.
-- $1 project id
-- $2 principal id
-- $3 key id
-- $4 audit id
-- index: api_key_id
with gone as (
    update api_key k set revoked_at = now()
     where k.project_id = $1::integer and k.id = $3::uuid and k.revoked_at is null
       and exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner')
    returning k.id),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject)
    select $4::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'key.delete', id::text
      from gone)
select id from gone
