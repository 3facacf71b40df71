-- lane: fast
-- One snapshot by its name.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 name
-- index: snapshot_name_unique
select s.id, s.name, s.created_at, s.comparisons, s.judgments, encode(s.hash, 'hex') as hash,
       s.filters, time_text(s.erased_at) as erased_at, s.boundary_xid as _boundary
  from snapshot s
 where s.project_id = $1::integer and s.name = $3::text
   and ($2::uuid is null or exists (
        select from access a where a.project_id = $1::integer and a.principal_id = $2::uuid
                               and a.role >= 'researcher'))
