-- lane: fast
-- One answer with its task, sides as they were shown. One's own, or any for researchers.
-- $1 judgment id
-- $2 principal id
-- index: feedback_past_pkey
select f.id, f.impression_id as lease_id, f.at,
       exists (select from feedback s where s.project_id = f.project_id and s.supersedes = f.id)
           as retracted,
       settings_full(p.settings) as _settings, m.messages as _prompt,
       (select json_agg(c.content order by s.slot)
          from unnest(i.shown) with ordinality as s (index, slot)
          join completion c on c.project_id = f.project_id
                           and c.id = q.completion_ids[s.index + 1]) as _candidates,
       case when f.kind = 'judgment' then judgment_body(i.shown, f.choice, f.strength, f.detail,
                                                        f.duration_ms)
            else f.detail end as body
  from access x
      cross join lateral (select * from feedback
                           where project_id = x.project_id and id = $1::uuid offset 0) f
  join project p on p.id = f.project_id
  join impression i on i.project_id = f.project_id and i.id = f.impression_id
  join comparison q on q.project_id = f.project_id and q.id = f.comparison_id
  join prompt m on m.project_id = f.project_id and m.id = q.prompt_id
 where x.principal_id = $2::uuid and f.kind in ('judgment', 'skip')
   and (f.annotator_id = $2::uuid or x.role >= 'researcher')
