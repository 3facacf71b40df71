-- lane: write
-- Notes an export before any of it leaves, and finds the snapshot it is of.
-- $1 audit id
-- $2 project id
-- $3 principal id, or null for the command line
-- $4 format
-- $5 what was asked for
-- $6 snapshot name, or null
-- index: snapshot_name_unique
-- Result: one row, or none when the principal may not export. No boundary: no such snapshot.
with allowed as materialized (
    select a.role::text as role from access a
     where a.project_id = $2::integer and a.principal_id = $3::uuid and a.role >= 'researcher'
    union all
    select 'owner' where $3::uuid is null),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $1::uuid, $2::integer, $3::uuid, principal_name($2::integer, $3::uuid), 'export',
           $4::text, coalesce($5::jsonb, '{}') from allowed)
select a.role, s.boundary_xid, s.filters
  from allowed a
  left join snapshot s on s.project_id = $2::integer and s.name = $6::text
