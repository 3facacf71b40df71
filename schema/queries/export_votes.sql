-- lane: stream
-- Standing explicit judgments without texts, comparison by comparison: what reliability is made of.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 boundary: only what was committed below this ledger transaction id, or null
-- index: comparison_pkey
-- Result: see server/api/transfer.c, which reads the columns by position.
select f.comparison_id, f.annotator_id, f.choice, f.detail ->> 'ranking' as ranking,
       cardinality(c.completion_ids)::smallint as completions
  from (select from access a
         where a.project_id = $1::integer and a.principal_id = $2::uuid and a.role >= 'researcher'
        union all
        select where $2::uuid is null) x
 cross join feedback f
  join comparison c on c.project_id = f.project_id and c.id = f.comparison_id
 where f.project_id = $1::integer and f.kind = 'judgment' and f.source not like 'implicit:%'
   and ($3::bigint is null or f.xid < $3::bigint)
   and not exists (select from feedback s
                    where s.project_id = $1::integer and s.supersedes = f.id
                      and ($3::bigint is null or s.xid < $3::bigint))
 order by f.comparison_id, f.id
