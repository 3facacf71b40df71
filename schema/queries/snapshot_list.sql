-- lane: fast
-- A project's snapshots, newest first.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 before this id, or null
-- $4 limit
-- index: snapshot_pkey
select s.id, s.name, s.created_at, s.comparisons, s.judgments, encode(s.hash, 'hex') as hash,
       s.filters, s.erased_at, s.id as _after
  from snapshot s
 where s.project_id = $1::integer
   and s.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   and ($2::uuid is null or exists (
        select from access a where a.project_id = $1::integer and a.principal_id = $2::uuid
                               and a.role >= 'researcher'))
 order by s.id desc
 limit $4::integer
