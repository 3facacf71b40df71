-- lane: slow
-- The label rules with their definitions, and what each makes of a project's ledger now.
-- $1 project id
-- $2 principal id, or null for the command line
-- index: project_pkey
select r.name, r.version, r.kind, r.definition,
       coalesce(c.positive, 0) as positive, coalesce(c.negative, 0) as negative, null as _after
  from project p
 cross join label_rule r
  left join (select rule, count(*) filter (where value = 1) as positive,
                    count(*) filter (where value = 0) as negative
               from label_rows($1::integer, null, null) group by rule) c on c.rule = r.name
 where p.id = $1::integer
   and ($2::uuid is null
        or exists (select from access x where x.project_id = $1::integer
                      and x.principal_id = $2::uuid and x.role >= 'researcher'))
 order by r.kind, r.name
