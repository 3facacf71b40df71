-- lane: slow
-- The caller's projects with their counts.
-- $1 principal id
-- $2 after this slug, or null
-- $3 limit
-- index: project_slug_unique
select p.slug, p.title, x.role::text as role, p.created_at,
       (select count(*) from comparison c where c.project_id = p.id) as comparisons,
       (select count(*) from comparison c where c.project_id = p.id and c.wanted > 0
                                            and c.answered >= c.wanted) as answered_comparisons,
       (select coalesce(sum(c.answered), 0) from comparison c where c.project_id = p.id) as judgments,
       p.slug as _after
  from project p join access x on x.project_id = p.id and x.principal_id = $1::uuid
 where p.slug > coalesce($2::text, '')
 order by p.slug limit $3::integer
