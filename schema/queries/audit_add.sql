-- lane: write
-- Notes something that was done (exports, the command line).
-- $1 id
-- $2 project id, or null
-- $3 actor id, or null for the command line
-- $4 action
-- $5 subject
-- $6 detail
insert into audit (id, project_id, actor_id, actor, action, subject, detail)
values ($1::uuid, $2::integer, $3::uuid, principal_name($2::integer, $3::uuid), $4::text, $5::text,
        coalesce($6::jsonb, '{}'))
returning id
