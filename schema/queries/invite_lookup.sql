-- lane: fast
-- What an invite link offers; no row: spent, expired or unknown.
-- $1 token hash
-- index: invite_token
select json_build_object('project', json_build_object('slug', p.slug, 'title', p.title),
                         'role', i.role, 'expires_at', time_text(i.expires_at)) as body
  from invite i join project p on p.id = i.project_id
 where i.token_hash = $1::bytea and i.uses_left > 0 and i.expires_at > now()
