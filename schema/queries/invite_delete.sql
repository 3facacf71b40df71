-- lane: write
-- Ends an invite. Owners only.
-- $1 project id
-- $2 principal id
-- $3 invite id
-- $4 audit id
-- index: invite_pkey
with gone as (
    delete from invite i
     where i.project_id = $1::integer and i.id = $3::uuid
       and exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role = 'owner')
    returning i.id),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject)
    select $4::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid), 'invite.delete', id::text
      from gone)
select id from gone
