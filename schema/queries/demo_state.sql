-- lane: none
-- Whether the demo has been made: the administrator to sign in as, and the demo project.
-- index: account_pkey
select (select id from account where is_admin and not is_disabled order by id limit 1) as admin_id,
       (select password_hash is not null from account where is_admin and not is_disabled
         order by id limit 1) as has_password,
       (select id from project where slug = 'demo') as demo_id,
       (select count(*) from project) as projects
