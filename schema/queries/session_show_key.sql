-- lane: fast
-- The SESSION object of an API key.
-- $1 key id
-- $2 project id
-- index: api_key_id
select json_build_object('account', null,
         'projects', json_build_array(json_build_object('slug', p.slug, 'title', p.title,
                                                        'role', k.role)),
         'key', json_build_object('name', k.name, 'role', k.role)) as body
  from api_key k join project p on p.id = k.project_id
 where k.project_id = $2::integer and k.id = $1::uuid
