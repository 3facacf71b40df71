-- lane: nowait
-- Conversations that have fallen silent: a leave for the last answer shown in each. Answers are looked
-- at once each, in the order of the ledger, when they are older than the project's session.
-- $1 limit of answers a project
-- index: answer_ledger
-- Result: one row, the number of leaves.
with due as materialized (
    select p.id as project_id, coalesce(c.xid, 0) as xid,
           coalesce(c.answer_id, '00000000-0000-0000-0000-000000000000') as answer_id,
           now() - make_interval(secs => (settings_full(p.settings) ->> 'session_seconds')::integer)
               as silent_since
      from project p left join session_cursor c on c.project_id = p.id),
seen as materialized (
    select a.*, d.silent_since, a.at > d.silent_since as young
      from due d
     cross join lateral (
           select project_id, xid, id, conversation_id, impression_id, at
             from answer
            where project_id = d.project_id and (xid, id) > (d.xid, d.answer_id)
              and xid < (select ledger_xmin())
            order by xid, id limit $1::integer) a),
decided as materialized (    -- up to the first that may still be gone on from
    select s.*
      from seen s
     where not exists (select from seen y where y.project_id = s.project_id and y.young
                          and (y.xid, y.id) <= (s.xid, s.id))),
moved as (
    insert into session_cursor (project_id, xid, answer_id)
    select distinct on (project_id) project_id, xid, id from decided
     order by project_id, xid desc, id desc
    on conflict (project_id) do update set xid = excluded.xid, answer_id = excluded.answer_id),
left_alone as (
    insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
    select d.project_id,     -- the same leave is one row, whoever finds it
           overlay(d.id::text placing left(md5(d.id::text), 12) from 25)::uuid, d.impression_id,
           c.end_user_id, 'leave', jsonb_build_object('answer', d.id), c.surface, ledger_xid(), now()
      from decided d
      join conversation c on c.project_id = d.project_id and c.id = d.conversation_id
     where d.impression_id is not null
       and not exists (select from answer later where later.project_id = d.project_id
                          and later.conversation_id = d.conversation_id and later.id > d.id
                          and later.impression_id is not null)
    on conflict do nothing
    returning 1)
select count(*) as leaves from left_alone
