-- lane: slow
-- Members of a project with how much they have judged. Researchers and owners.
-- $1 project id
-- $2 principal id
-- $3 after this login, or null
-- $4 limit
-- index: member_pkey
select a.id, a.login, a.name, m.role::text as role, m.joined_at,
       (select count(*) from assignment s where s.project_id = m.project_id
           and s.annotator_id = a.id and s.state = 'answered') as judgments,
       a.login as _after
  from member m join account a on a.id = m.account_id
 where m.project_id = $1::integer and a.login > coalesce($3::text, '')
   and exists (select from access x where x.project_id = $1::integer and x.principal_id = $2::uuid
                                      and x.role >= 'researcher')
 order by a.login limit $4::integer
