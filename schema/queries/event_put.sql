-- lane: merge
-- Records batches of what people did with answers, by ids that the client made: the same id twice is
-- one row. Events of answers that are not the project's are not recorded, nor are those that a member
-- tells of another's conversation.
-- Elements of the arrays belong together; a row of the result answers the element _place.
-- $1 project ids
-- $2 principal ids: keys, reporters' too, or members
-- $3 batches: [{"id","completion_id","kind","value","comment","at"}, …], checked by the caller
-- index: answer_pkey
-- Result: ids that are in the ledger now, or were before. No row: not allowed.
with asked as materialized (
    select a.*, exists (select from api_key k where k.project_id = a.project_id
                           and k.id = a.principal_id and k.revoked_at is null) as is_key
      from unnest($1::integer[], $2::uuid[], $3::json[])
           with ordinality as a (project_id, principal_id, batch, place)
     where exists (select from access x where x.project_id = a.project_id
                      and x.principal_id = a.principal_id)
        or exists (select from api_key k where k.project_id = a.project_id
                      and k.id = a.principal_id and k.revoked_at is null)),
said as materialized (
    select a.place, a.project_id, e.*, t.impression_id, c.end_user_id, c.surface
      from asked a
     cross join lateral json_to_recordset(a.batch)
           as e (id uuid, completion_id uuid, kind text, value double precision, comment text, at text)
     cross join lateral (select impression_id, conversation_id from answer
                          where project_id = a.project_id and id = e.completion_id offset 0) t
     cross join lateral (select end_user_id, surface from conversation
                          where project_id = a.project_id and id = t.conversation_id offset 0) c
     where t.impression_id is not null and (a.is_key or c.end_user_id = a.principal_id)),
told as (
    insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
    select distinct on (project_id, id) project_id, id, impression_id, end_user_id, kind,
           jsonb_strip_nulls(jsonb_build_object('answer', completion_id, 'value', value,
                                                'comment', comment, 'at', at)),
           'events', (select ledger_xid()), now()
      from said
    on conflict do nothing)
select a.place as _place, coalesce((select json_agg(id) from said s where s.place = a.place), '[]') as ids
  from asked a
