-- lane: stream
-- A project's labels from what people did, as comparisons that were judged: a pair as two completions of
-- which the first was chosen, a label as one completion, chosen or bad. In the columns of export_rows.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 boundary: only what was committed below this ledger transaction id, or null
-- $4 rule, or null for all
-- $5 since this time only, or null
-- $6 true: pairs only
-- Result: as export_rows, and the end user (or conversation) whose rows are never split.
select null::text as key, turn_messages($1::integer, a.turn_id) as messages,
       null::text as group_name, '{}'::text[] as tags, null::json as metadata, null::json as gold,
       0::smallint as priority,
       case when w.id is null then array[a.model] else array[a.model, w.model] end as models,
       case when w.id is null then array[a.content] else array[a.content, w.content] end as contents,
       case when w.id is null then array[null::json] else array[null::json, null] end
           as completion_metadata,
       array[coalesce(c.end_user_id, c.id)] as annotators, array[null::text] as names,
       array[case when l.value = 1 then 0 else -2 end::smallint] as choices,
       array[null::smallint] as strengths,
       array[json_build_object('metadata', json_build_object('rule', l.rule, 'version', l.version,
                 'confidence', l.confidence, 'events', l.events))::text] as details,
       array[null::text] as shown, array[null::integer] as durations,
       array['implicit:' || l.rule] as sources, array[a.at] as times,
       coalesce(c.end_user_id, c.id) as speaker_id
  from (select r.role from access r
         where r.project_id = $1::integer and r.principal_id = $2::uuid and r.role >= 'researcher'
        union all
        select 'owner' where $2::uuid is null) x
 cross join label_rows($1::integer, $3::bigint, $4::text) l
  join answer a on a.project_id = $1::integer and a.id = l.answer_id
  left join answer w on w.project_id = $1::integer and w.id = l.worse_id
  join conversation c on c.project_id = $1::integer and c.id = a.conversation_id
 where ($5::timestamptz is null or a.at >= $5::timestamptz)
   and (not $6::boolean or l.worse_id is not null)
 order by l.rule, l.answer_id, l.worse_id nulls first
