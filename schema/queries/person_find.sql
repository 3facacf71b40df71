-- lane: none
-- The ids under which somebody is known by name: an account, an annotator of imports.
-- $1 project id
-- $2 login or annotator's name
-- index: account_login_unique, annotator_name_unique
select id from account where login = $2::text
union all
select id from annotator where project_id = $1::integer and name = $2::text
