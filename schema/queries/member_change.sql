-- lane: write
-- Changes a member's role or removes the member (role null). The last owner stays.
-- $1 project id
-- $2 principal id
-- $3 account id
-- $4 role, or null to remove
-- $5 audit id
-- index: member_pkey
with allowed as (
    select 1 from access x where x.project_id = $1::integer and x.principal_id = $2::uuid
                             and x.role = 'owner'),
owners as materialized (
    select account_id from member where project_id = $1::integer and role = 'owner'
     order by account_id for update),
target as (
    select m.account_id, m.role,
           m.role = 'owner' and coalesce($4::text, '') <> 'owner'
               and (select count(*) from owners) <= 1 as last_owner
      from member m, allowed
     where m.project_id = $1::integer and m.account_id = $3::uuid),
changed as (
    update member m set role = $4::text::project_role from target t
     where m.project_id = $1::integer and m.account_id = t.account_id and not t.last_owner
       and $4::text is not null),
removed as (
    delete from member m using target t
     where m.project_id = $1::integer and m.account_id = t.account_id and not t.last_owner
       and $4::text is null),
noted as (
    insert into audit (id, project_id, actor_id, actor, action, subject, detail)
    select $5::uuid, $1::integer, $2::uuid, principal_name($1::integer, $2::uuid),
           case when $4::text is null then 'member.remove' else 'member.change' end,
           (select login from account where id = $3::uuid), jsonb_build_object('role', $4::text)
      from target where not last_owner)
select a.id, a.login, a.name, coalesce($4::text, t.role::text) as role, t.last_owner as _last_owner
  from target t join account a on a.id = t.account_id
