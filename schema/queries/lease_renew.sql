-- lane: write
-- Prolongs a lease that its holder still has. held: false when it ran out.
-- $1 lease id
-- $2 principal id: the annotator
-- index: impression_past_pkey
with lease as materialized (
    select i.project_id, i.id, i.comparison_id,
           (settings_full(p.settings) ->> 'lease_seconds')::integer as seconds
      from access x
      cross join lateral (select * from impression
                           where project_id = x.project_id and id = $1::uuid offset 0) i
      join project p on p.id = i.project_id
     where x.principal_id = $2::uuid and i.annotator_id = $2::uuid and i.surface = 'annotate'),
renewed as (
    update assignment a set expires_at = now() + make_interval(secs => lease.seconds)
      from lease
     where a.project_id = lease.project_id and a.annotator_id = $2::uuid
       and a.comparison_id = lease.comparison_id and a.impression_id = lease.id
       and a.state = 'leased'
    returning a.expires_at)
select lease.id, time_text(r.expires_at) as expires_at, r.expires_at is not null as _held
  from lease left join renewed r on true
