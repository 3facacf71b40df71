-- lane: write
-- Stores a snapshot whose data has been hashed.
-- $1 id
-- $2 project id
-- $3 principal id, or null for the command line
-- $4 name
-- $5 boundary
-- $6 filters
-- $7 hash
-- $8 comparisons
-- $9 judgments
-- $10 audit id
with allowed as materialized (
    select 1 where $3::uuid is null or exists (
        select from access a where a.project_id = $2::integer and a.principal_id = $3::uuid
                               and a.role >= 'researcher')),
added as (
    insert into snapshot (project_id, id, name, boundary_xid, filters, hash, comparisons, judgments)
    select $2::integer, $1::uuid, $4::text, $5::bigint, $6::jsonb, $7::bytea, $8::bigint,
           $9::bigint from allowed
    returning id, name, created_at, comparisons, judgments, hash, filters),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject)
    select $10::uuid, $2::integer, $3::uuid, principal_name($2::integer, $3::uuid),
           'snapshot.add', $4::text from added)
select id, name, created_at, comparisons, judgments, encode(hash, 'hex') as hash, filters from added
