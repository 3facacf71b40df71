-- lane: fast
-- What the gateway needs to know of a project: its settings and where its models are served.
-- $1 project id
-- index: upstream_name_unique
-- Result: a row an upstream in the order in which they are asked, at least one row when the project
-- exists (its upstream columns null when it has none).
select settings_full(p.settings) as settings, u.id, u.name, u.url, u.sealed_key, u.models,
       u.timeout_ms, u.concurrency
  from project p
  left join lateral (select * from upstream where project_id = $1::integer and not disabled) u
         on true
 where p.id = $1::integer
 order by u.priority, u.name
