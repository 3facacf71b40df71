-- lane: bulk
-- Everybody whose answers a project may hold: imported names, and accounts and keys that answered.
-- $1 project id
-- $2 principal id, or null for the command line
-- index: annotator_name_unique
-- Result: one row a person; name is null for accounts and keys.
with allowed as materialized (
    select 1 where $2::uuid is null or exists (
        select from access a where a.project_id = $1::integer and a.principal_id = $2::uuid
                               and a.role >= 'researcher'))
select n.id, n.name from allowed cross join annotator n where n.project_id = $1::integer
union all
select p.id, null
  from allowed
 cross join (select id from account
             union all select id from api_key where project_id = $1::integer) p
 where exists (select from assignment a where a.project_id = $1::integer and a.annotator_id = p.id)
