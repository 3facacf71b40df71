-- The schema that schema/migrations make, for reading; regenerate it with `make schema`.

CREATE TYPE public.project_role AS ENUM (
    'reporter',
    'annotator',
    'researcher',
    'owner'
);

CREATE FUNCTION public.answer_outcomes(project integer, boundary bigint) RETURNS TABLE(id uuid, turn_id uuid, conversation_id uuid, end_user_id uuid, confidence real, at timestamp with time zone, remaining integer, reply_at timestamp with time zone, ended uuid, retries uuid[], continues uuid[], edits uuid[], thumb_id uuid, thumb boolean, star_id uuid, star boolean)
    LANGUAGE sql STABLE
    AS $$
    with recursive shown as materialized (
        select a.id, a.turn_id, a.conversation_id, a.at, t.depth, t.parent_id, t.has_user
          from answer a join turn t on t.project_id = project and t.id = a.turn_id
         where a.project_id = project and a.impression_id is not null and a.content <> ''
           and a.finish <> 'broken' and (boundary is null or a.xid < boundary)),
    walk (answer_id, depth) as (            -- from every turn up to the answers it follows
        select s.parent_id, s.depth::integer from shown s where s.parent_id is not null
        union all
        select t.parent_id, w.depth
          from walk w
          join answer a on a.project_id = project and a.id = w.answer_id
          join turn t on t.project_id = project and t.id = a.turn_id
         where t.parent_id is not null),
    reached as (
        select coalesce(a.edit_of, a.id) as id, max(w.depth) as depth
          from walk w join answer a on a.project_id = project and a.id = w.answer_id
         group by 1),
    replied as (
        select coalesce(a.edit_of, a.id) as id, min(id_time(s.id)) as at
          from shown s join answer a on a.project_id = project and a.id = s.parent_id
         where s.has_user group by 1),
    told as materialized (
        select (f.detail ->> 'answer')::uuid as answer_id, f.id, f.kind,
               (f.detail ->> 'value')::double precision as value
          from feedback f
         where f.project_id = project and f.comparison_id is null and f.kind <> 'judgment'
           and (boundary is null or f.xid < boundary)),
    facts as (
        select answer_id,
               array_agg(id order by id) filter (where kind = 'retry') as retries,
               array_agg(id order by id) filter (where kind = 'continue') as continues,
               array_agg(id order by id) filter (where kind = 'edit') as edits,
               (array_agg(id order by id desc) filter (where kind in ('thumb_up', 'thumb_down')))[1]
                   as thumb_id,
               (array_agg(kind = 'thumb_up' order by id desc)
                   filter (where kind in ('thumb_up', 'thumb_down')))[1] as thumb,
               (array_agg(id order by id desc) filter (where kind = 'star'))[1] as star_id,
               (array_agg(coalesce(value, 5) >= 4 order by id desc)
                   filter (where kind = 'star'))[1] as star
          from told group by answer_id),
    ends as (                               -- a conversation is over when its last answer was left
        select last.conversation_id, l.id
          from (select distinct on (conversation_id) conversation_id, s.id from shown s
                 order by conversation_id, s.id desc) last
          join told l on l.answer_id = last.id and l.kind = 'leave')
    select s.id, s.turn_id, s.conversation_id, c.end_user_id, c.confidence, s.at,
           greatest(coalesce(r.depth - s.depth, 0), 0), p.at, e.id, f.retries, f.continues, f.edits,
           f.thumb_id, f.thumb, f.star_id, f.star
      from shown s
      join conversation c on c.project_id = project and c.id = s.conversation_id
      left join reached r on r.id = s.id
      left join replied p on p.id = s.id
      left join ends e on e.conversation_id = s.conversation_id
      left join facts f on f.answer_id = s.id
$$;

CREATE FUNCTION public.choice_to_index(shown smallint[], choice text) RETURNS smallint
    LANGUAGE sql IMMUTABLE
    AS $$
    select case choice when 'tie' then -1::smallint when 'both_bad' then -2::smallint
                       when 'cannot_judge' then -3::smallint
                       else slot_to_index(shown, choice) end $$;

CREATE FUNCTION public.choice_to_slot(shown smallint[], choice smallint) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select case choice when -1 then 'tie' when -2 then 'both_bad' when -3 then 'cannot_judge'
                       else index_to_slot(shown, choice::integer) end $$;

CREATE FUNCTION public.content_text(content json) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select case json_typeof(content)
           when 'string' then content #>> '{}'
           when 'array' then
               (select string_agg(case when part ->> 'type' = 'text' then coalesce(part ->> 'text', '')
                                       else '[' || coalesce(left(part ->> 'type', 64), 'part') || ']' end,
                                  E'\n' order by place)
                  from json_array_elements(content) with ordinality as parts (part, place))
           else '' end
$$;

CREATE FUNCTION public.conversation_expired(project integer, conversation uuid, since timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return exists (
            select from answer a join turn t on t.project_id = project and t.id = a.turn_id
             where a.project_id = project and a.conversation_id = conversation
               and (a.content <> '' or a.message is not null or t.messages::text <> '[]')
            union all
            select from arena_round r join turn t on t.project_id = project and t.id = r.turn_id
             where r.project_id = project and r.conversation_id = conversation
               and t.messages::text <> '[]')
       and not exists (
            select from answer a
             where a.project_id = project and a.conversation_id = conversation and a.at >= since
            union all
            select from arena_round r
             where r.project_id = project and r.conversation_id = conversation and r.at >= since);
end $$;

CREATE FUNCTION public.erase_conversations(project integer, ids uuid[]) RETURNS TABLE(answers bigint, comments bigint, snapshots bigint)
    LANGUAGE plpgsql
    SET "aileron.erasing" TO 'on'
    AS $$
declare
    first_xid bigint;
begin
    select min(a.xid) into first_xid from answer a
     where a.project_id = project and a.conversation_id = any (ids);
    update turn t set messages = '[]'
     where t.project_id = project
       and t.id in (select a.turn_id from answer a
                     where a.project_id = project and a.conversation_id = any (ids)
                    union all
                    select r.turn_id from arena_round r
                     where r.project_id = project and r.conversation_id = any (ids));
    update answer a set content = '', message = null, detail = null, digest = gen_random_uuid()
     where a.project_id = project and a.conversation_id = any (ids);
    get diagnostics answers = row_count;
    update feedback f set detail = f.detail - '{comment,text}'::text[]
     where f.project_id = project and f.comparison_id is null
       and f.impression_id in (select a.impression_id from answer a
                                where a.project_id = project and a.conversation_id = any (ids));
    get diagnostics comments = row_count;
    update snapshot s set erased_at = now(), erased = s.erased + 1
     where s.project_id = project and s.boundary_xid > first_xid;
    get diagnostics snapshots = row_count;
    update conversation c set end_user_id = null, named_id = null
     where c.project_id = project and c.id = any (ids);
    return next;
end $$;

CREATE FUNCTION public.erase_expired(most integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
    kept record;
    ids uuid[];
    total bigint := 0;
begin
    for kept in
        select p.id, now() - make_interval(days =>
                   (settings_full(p.settings) ->> 'retention_days')::integer) as since
          from project p
         where (settings_full(p.settings) ->> 'retention_days')::integer > 0
    loop
        select array_agg(old.id) into ids from (
            select c.id from conversation c
             where c.project_id = kept.id and c.at < kept.since
               and conversation_expired(kept.id, c.id, kept.since)
             limit most) old;
        if ids is not null then
            perform erase_conversations(kept.id, ids);
            total := total + cardinality(ids);
        end if;
    end loop;
    return total;
end $$;

CREATE FUNCTION public.erase_user(project integer, people uuid[], names text[], audit_id uuid, actor_name text) RETURNS TABLE(conversations bigint, answers bigint, comments bigint, prompts bigint, snapshots bigint)
    LANGUAGE plpgsql
    SET "aileron.erasing" TO 'on'
    AS $$
declare
    ids uuid[];
    grouped uuid[];
    judged bigint;
begin
    select coalesce(array_agg(c.id), '{}') into ids from conversation c
     where c.project_id = project and c.end_user_id = any (people);
    conversations := cardinality(ids);
    select e.answers, e.comments, e.snapshots into answers, comments, snapshots
      from erase_conversations(project, ids) e;
    update feedback f set detail = f.detail - '{rationale,edits,comment}'::text[]
     where f.project_id = project and f.annotator_id = any (people)
       and f.detail ?| '{rationale,edits,comment}'::text[];
    get diagnostics judged = row_count;
    comments := comments + judged;
    -- imported and drawn texts of theirs: rows whose split group is the person
    select coalesce(array_agg(p.id), '{}') into grouped from prompt p
     where p.project_id = project and p.group_name = any (names) and p.messages is not null;
    update completion k set content = null, metadata = null
     where k.project_id = project and k.prompt_id = any (grouped);
    update prompt p set messages = null where p.project_id = project and p.id = any (grouped);
    judged := judged + cardinality(grouped);
    prompts := cardinality(grouped);
    if judged > 0 then
        update snapshot s set erased_at = now(), erased = s.erased + 1 where s.project_id = project
           and s.erased_at is distinct from now();
    end if;
    insert into audit (id, project_id, actor, action, detail)
    values (audit_id, project, actor_name, 'user.erase',
            jsonb_build_object('conversations', conversations, 'answers', answers));
    return next;
end $$;

CREATE FUNCTION public.id_time(id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
    select to_timestamp(('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint
                        / 1000.0) $$;

CREATE FUNCTION public.index_to_slot(shown smallint[], index integer) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    AS $$ select chr(ascii('A') - 1 + array_position(shown, index::smallint)) $$;

CREATE FUNCTION public.judgment_body(shown smallint[], choice smallint, strength smallint, detail jsonb, duration_ms integer) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
    return (
        select jsonb_strip_nulls(jsonb_build_object('choice', choice_to_slot(shown, choice),
                   'strength', strength, 'duration_ms', duration_ms))
               || coalesce(slots_map_detail(shown, detail, true), '{}'));
end $$;

CREATE FUNCTION public.judgment_problem(given jsonb, shown smallint[], choice text, strength integer, detail jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
declare
    settings constant jsonb := settings_full(given);
    slots constant integer := cardinality(shown);
    ranked constant boolean := settings ->> 'kind' = 'ranking'
                               or (settings ->> 'kind' = 'auto' and slots > 2)
                               or slots > 2;
    member text;
    value jsonb;
begin
    if ranked and choice is distinct from 'cannot_judge' and choice is distinct from 'both_bad' then
        if detail -> 'ranking' is null then return '/ranking|this task asks for a ranking'; end if;
        if not coalesce(ranking_covers(shown, detail -> 'ranking'), false) then
            return '/ranking|must name every candidate exactly once';
        end if;
        if choice is not null then return '/choice|this task takes a ranking, not a choice'; end if;
    elsif not ranked and detail -> 'ranking' is not null then
        return '/ranking|this task takes a choice, not a ranking';
    elsif choice is null then
        return '/choice|is required';
    end if;
    if choice ~ '^[A-I]$' and choice_to_index(shown, choice) is null then
        return '/choice|there is no such candidate';
    end if;
    if choice = 'tie' and not (settings ->> 'ties')::boolean then
        return '/choice|ties are not allowed in this project'; end if;
    if choice = 'both_bad' and not (settings ->> 'both_bad')::boolean then
        return '/choice|"both bad" is not allowed in this project'; end if;
    if choice = 'cannot_judge' and not (settings ->> 'cannot_judge')::boolean then
        return '/choice|"cannot judge" is not allowed in this project'; end if;
    if strength is not null and (choice is null or choice !~ '^[A-I]$') then
        return '/strength|only goes with the choice of a candidate'; end if;
    if strength > (settings ->> 'strength_levels')::integer then
        return '/strength|must be at most ' || (settings ->> 'strength_levels'); end if;
    if settings ->> 'rationale' = 'off' and detail ? 'rationale' then
        return '/rationale|is not asked for in this project'; end if;
    if settings ->> 'rationale' = 'required' and coalesce(detail ->> 'rationale', '') = ''
       and choice is distinct from 'cannot_judge' then
        return '/rationale|is required in this project'; end if;
    for member, value in select * from jsonb_each(detail -> 'criteria') loop
        if not exists (select from jsonb_array_elements(settings -> 'criteria') as c
                        where c ->> 'name' = member) then
            return '/criteria/' || member || '|there is no such criterion in this project'; end if;
        if value ->> 'choice' <> 'tie' and slot_to_index(shown, value ->> 'choice') is null then
            return '/criteria/' || member || '/choice|there is no such candidate'; end if;
        if (value ->> 'strength')::integer > (settings ->> 'strength_levels')::integer then
            return '/criteria/' || member || '/strength|must be at most '
                   || (settings ->> 'strength_levels'); end if;
    end loop;
    for member, value in select * from jsonb_each(detail -> 'ratings') loop
        if slot_to_index(shown, member) is null then
            return '/ratings/' || member || '|there is no such candidate'; end if;
        if rating_problem(settings -> 'ratings', value) is not null then
            return '/ratings/' || member || rating_problem(settings -> 'ratings', value); end if;
    end loop;
    for member, value in select * from jsonb_each(detail -> 'flags') loop
        if slot_to_index(shown, member) is null then
            return '/flags/' || member || '|there is no such candidate'; end if;
        if not (settings -> 'flags') @> value then
            return '/flags/' || member || '|there is no such flag in this project'; end if;
    end loop;
    for member, value in select * from jsonb_each(detail -> 'edits') loop
        if not (settings ->> 'edits')::boolean then
            return '/edits|edits are not allowed in this project'; end if;
        if slot_to_index(shown, member) is null then
            return '/edits/' || member || '|there is no such candidate'; end if;
    end loop;
    return null;
end $_$;

CREATE FUNCTION public.label_rows(project integer, boundary bigint, only_rule text) RETURNS TABLE(rule text, version smallint, answer_id uuid, worse_id uuid, value smallint, confidence real, events uuid[])
    LANGUAGE sql STABLE
    AS $$
    with o as materialized (select * from answer_outcomes(project, boundary)),
    labels as (
        select 'continue-' || k.follow as rule, o.id,
               case when o.remaining >= k.follow then 1 when o.ended is not null then 0 end as value,
               o.confidence, coalesce(o.continues, '{}') || o.ended as events
          from o cross join (select follow from label_rule where name like 'continue-_') k
        union all
        select 'no-retry', o.id,
               case when o.retries is not null then 0
                    when o.remaining > 0 or o.ended is not null then 1 end,
               o.confidence, coalesce(o.retries, '{}') || o.continues || o.ended
          from o
        union all
        select 'continue-no-retry', o.id,
               case when o.retries is not null then 0 when o.remaining >= k.follow then 1
                    when o.ended is not null then 0 end,
               o.confidence, coalesce(o.retries, '{}') || o.continues || o.ended
          from o cross join (select follow from label_rule where name = 'continue-no-retry') k
        union all
        select 'star', o.id, o.star::integer, 1, array[o.star_id] from o
        union all
        select 'thumb', o.id, o.thumb::integer, 1, array[o.thumb_id] from o
        union all
        select 'edit', o.id, case when o.edits is not null then 0 when o.continues is not null then 1 end,
               o.confidence, coalesce(o.edits, '{}') || o.continues
          from o
        union all
        select 'reply-180s', o.id,
               case when o.reply_at <= o.at + interval '180 seconds' then 1
                    when o.reply_at is not null or o.ended is not null then 0 end,
               o.confidence, coalesce(o.continues, '{}') || o.ended
          from o),
    pairs as (
        select 'pair-retry' as rule, kept.id, given_up.id as worse_id, kept.confidence,
               kept.continues || given_up.retries as events
          from o kept
          join o given_up on given_up.turn_id = kept.turn_id and given_up.id <> kept.id
         where kept.continues is not null and given_up.retries is not null
           and given_up.continues is null
        union all
        select 'pair-edit', e.id, o.id, o.confidence, o.edits
          from o join answer e on e.project_id = project and e.edit_of = o.id
                              and e.turn_id = o.turn_id and o.edits is not null
        union all
        select 'pair-vote', (f.detail ->> 'answer')::uuid, (f.detail ->> 'over')::uuid, 1,
               array[f.id]
          from feedback f
          join answer better on better.project_id = project
                            and better.id = (f.detail ->> 'answer')::uuid and better.content <> ''
          join answer worse on worse.project_id = project
                           and worse.id = (f.detail ->> 'over')::uuid and worse.content <> ''
         where f.project_id = project and f.comparison_id is null and f.kind = 'vote'
           and f.detail ? 'over' and (boundary is null or f.xid < boundary)
           and not exists (select from feedback n where n.project_id = project
                              and n.supersedes = f.id and (boundary is null or n.xid < boundary)))
    select r.name, r.version, l.id, l.worse_id, l.value::smallint, l.confidence::real,
           array(select distinct e from unnest(l.events) as e where e is not null order by e)
      from (select rule, id, null::uuid as worse_id, value, confidence, events
              from labels where value is not null
            union all
            select rule, id, worse_id, 1, confidence, events from pairs) l
      join label_rule r on r.name = l.rule
     where only_rule is null or r.name = only_rule
     order by r.name, l.id, l.worse_id nulls first
$$;

CREATE FUNCTION public.ledger_xid() RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return (select pg_current_xact_id()::text::bigint + xid_offset from ledger_cluster);
end $$;

CREATE FUNCTION public.ledger_xmin() RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset
              from ledger_cluster);
end $$;

CREATE FUNCTION public.partition_bound(moment timestamp with time zone) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    AS $$
    select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid $$;

CREATE FUNCTION public.partition_ensure(ahead_months integer) RETURNS integer
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '2s'
    AS $$
declare
    parent text;
    name text;
    made integer := 0;
    this_month constant timestamptz := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC';
    month timestamptz;
begin
    foreach parent in array array['impression', 'feedback'] loop
        if to_regclass(parent || '_past') is null then
            execute format('create table %I partition of %I for values from (minvalue) to (%L)',
                           parent || '_past', parent, partition_bound(this_month));
            execute format('create table %I partition of %I default', parent || '_other', parent);
        end if;
        month := this_month;
        while month <= this_month + make_interval(months => ahead_months) loop
            name := parent || '_' || to_char(month at time zone 'UTC', 'YYYYMM');
            if to_regclass(name) is null then
                begin
                    execute format('create table %I partition of %I for values from (%L) to (%L)',
                                   name, parent, partition_bound(month),
                                   partition_bound(month + interval '1 month'));
                    made := made + 1;
                exception when check_violation or lock_not_available then
                    raise warning 'partition % is not made now: %', name, sqlerrm;
                end;
            end if;
            month := month + interval '1 month';
        end loop;
    end loop;
    return made;
end $$;

CREATE FUNCTION public.principal_name(project integer, principal uuid) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select case when principal is null then 'command line' else coalesce(
        (select login from account where id = principal),
        (select 'key ' || name from api_key where project_id = project and id = principal),
        principal::text) end $$;

CREATE FUNCTION public.ranking_covers(shown smallint[], ranking jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
    return (
        select count(*) = cardinality(shown) and count(distinct slot #>> '{}') = cardinality(shown)
               and bool_and(jsonb_typeof(slot) = 'string' and slot_to_index(shown, slot #>> '{}') is not null)
          from jsonb_array_elements(ranking) as rank, jsonb_array_elements(rank) as slot);
end $$;

CREATE FUNCTION public.rating_problem(scale jsonb, given jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select case when scale -> 'names' is not null and not (scale -> 'names') ? name
                then '/' || name || '|there is no such rating in this project'
                else '/' || name || format('|must be from %s to %s', low, high) end
      from (select coalesce((scale ->> 'min')::integer, 1) as low,
                   coalesce((scale ->> 'max')::integer, 7) as high) s
     cross join jsonb_each_text(given) as r (name, points)
     where points::integer not between low and high
        or (scale -> 'names' is not null and not (scale -> 'names') ? name)
     limit 1
$$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- Erasure of a person's data is the one lawful exception, and says so in its transaction.
    if current_setting('aileron.erasing', true) = 'on' then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

CREATE FUNCTION public.schema_upkeep(ahead_months integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    here bigint := (select system_identifier from pg_control_system());
    highest bigint;
begin
    perform partition_ensure(ahead_months);
    if exists (select from ledger_cluster where system_identifier = here) then
        return false;
    end if;
    select greatest(coalesce((select max(xid) from feedback), 0),
                    coalesce((select max(queued_xid) from comparison), 0),
                    coalesce((select max(boundary_xid) from snapshot), 0)) into highest;
    update ledger_cluster set system_identifier = here, xid_offset =
        greatest(0, highest + 1 - pg_current_xact_id()::text::bigint + 1);
    return true;
end $$;

CREATE FUNCTION public.settings_full(settings jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    select '{"question": "Which answer is better?", "instructions": "", "kind": "auto",
             "strength_levels": 3, "ties": true, "both_bad": true, "cannot_judge": true,
             "rationale": "optional", "edits": true, "criteria": [], "ratings": null, "flags": [],
             "overlap": 1, "lease_seconds": 900, "gold_share": 0, "repeat_share": 0,
             "mirror_share": 0, "policy": "queue", "show_own_progress": true,
             "session_seconds": 1800, "pair_share": 0, "pair_model": "", "retention_days": 0}'::jsonb || settings $$;

CREATE FUNCTION public.slot_to_index(shown smallint[], slot text) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT
    AS $$ select shown[ascii(slot) - ascii('A') + 1] $$;

CREATE FUNCTION public.slots_map_detail(shown smallint[], detail jsonb, back boolean) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
begin
    return (
        select case when detail is null then null else jsonb_strip_nulls(jsonb_build_object(
            'ranking', (select jsonb_agg((select jsonb_agg(case when back
                                  then to_jsonb(index_to_slot(shown, (slot #>> '{}')::integer))
                                  else to_jsonb(slot_to_index(shown, slot #>> '{}')) end
                                  order by place)
                           from jsonb_array_elements(rank) with ordinality as s(slot, place)) order by n)
                          from jsonb_array_elements(detail -> 'ranking') with ordinality as r(rank, n)),
            'criteria', (select jsonb_object_agg(name, case
                            when not back and jsonb_typeof(judged -> 'choice') = 'string'
                                 and judged ->> 'choice' ~ '^[A-I]$'
                                then jsonb_set(judged, '{choice}',
                                               to_jsonb(slot_to_index(shown, judged ->> 'choice')))
                            when back and jsonb_typeof(judged -> 'choice') = 'number'
                                then jsonb_set(judged, '{choice}',
                                           to_jsonb(index_to_slot(shown, (judged ->> 'choice')::integer)))
                            else judged end)
                          from jsonb_each(detail -> 'criteria') as c(name, judged)),
            'ratings', slots_rename_keys(shown, detail -> 'ratings', back),
            'flags', slots_rename_keys(shown, detail -> 'flags', back),
            'edits', slots_rename_keys(shown, detail -> 'edits', back)))
          || (detail - '{ranking,criteria,ratings,flags,edits}'::text[]) end);
end $_$;

CREATE FUNCTION public.slots_rename_keys(shown smallint[], value jsonb, back boolean) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
    return (
        select jsonb_object_agg(case when back then index_to_slot(shown, key::integer)
                                     else slot_to_index(shown, key)::text end, member)
          from jsonb_each(value) as e(key, member));
end $$;

CREATE FUNCTION public.statistics_refresh() RETURNS void
    LANGUAGE plpgsql
    SET default_statistics_target TO '10'
    AS $$
begin
    analyze model, prompt, comparison, annotator, impression, feedback, assignment;
end $$;

CREATE FUNCTION public.task_excerpt(project integer, comparison uuid, shown smallint[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return (
    select jsonb_build_object('prompt', left(case json_typeof(p.messages)
                   when 'string' then p.messages #>> '{}'
                   when 'array' then content_text(p.messages -> -1 -> 'content') else '' end, 200))
           || (select jsonb_object_agg(chr(ascii('A') - 1 + s.slot::integer), left(c.content, 200))
                 from unnest(shown) with ordinality as s (index, slot)
                 join completion c on c.project_id = project
                                  and c.id = q.completion_ids[s.index + 1])
      from comparison q join prompt p on p.project_id = project and p.id = q.prompt_id
     where q.project_id = project and q.id = comparison );
end $$;

CREATE FUNCTION public.time_text(moment timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

CREATE FUNCTION public.turn_messages(project integer, last_turn uuid) RETURNS json
    LANGUAGE plpgsql STABLE
    AS $$
declare
    parts text[] := '{}';
    here turn;
    said answer;
begin
    select * into here from turn where project_id = project and id = last_turn;
    while here.id is not null loop
        -- without the brackets: lists of messages become one
        parts := substr(btrim(here.messages::text), 2, length(btrim(here.messages::text)) - 2) || parts;
        exit when here.parent_id is null;
        select * into said from answer where project_id = project and id = here.parent_id;
        parts := coalesce(said.message::text, json_build_object('role', 'assistant', 'content',
                                                                said.content)::text) || parts;
        select * into here from turn where project_id = project and id = said.turn_id;
    end loop;
    return ('[' || array_to_string(parts, ',') || ']')::json;
end $$;

CREATE TABLE public.account (
    id uuid NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    password_hash text,
    is_admin boolean DEFAULT false NOT NULL,
    is_disabled boolean DEFAULT false NOT NULL,
    preferences json DEFAULT '{}'::json NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT account_login_valid CHECK ((login ~ '^[a-z0-9][a-z0-9._@-]{1,62}[a-z0-9]$'::text)),
    CONSTRAINT account_name_valid CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100)))
);

CREATE TABLE public.api_key (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    token_hash bytea NOT NULL,
    prefix text NOT NULL,
    role public.project_role NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_token_valid CHECK ((length(token_hash) = 32))
);

CREATE TABLE public.member (
    project_id integer NOT NULL,
    account_id uuid NOT NULL,
    role public.project_role NOT NULL,
    joined_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.project (
    id integer NOT NULL,
    slug text NOT NULL,
    title text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT project_slug_valid CHECK ((slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text)),
    CONSTRAINT project_title_valid CHECK (((char_length(title) >= 1) AND (char_length(title) <= 200)))
);

CREATE VIEW public.access AS
 SELECT m.project_id,
    m.account_id AS principal_id,
    m.role
   FROM (public.member m
     JOIN public.account a ON ((a.id = m.account_id)))
  WHERE ((NOT a.is_disabled) AND (NOT a.is_admin))
UNION ALL
 SELECT k.project_id,
    k.id AS principal_id,
    k.role
   FROM public.api_key k
  WHERE ((k.revoked_at IS NULL) AND (k.role > 'reporter'::public.project_role))
UNION ALL
 SELECT p.id AS project_id,
    a.id AS principal_id,
    'owner'::public.project_role AS role
   FROM (public.account a
     CROSS JOIN public.project p)
  WHERE (a.is_admin AND (NOT a.is_disabled));

CREATE TABLE public.annotator (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL
);

CREATE TABLE public.answer (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    turn_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    impression_id uuid,
    edit_of uuid,
    model text NOT NULL,
    content text NOT NULL,
    message json,
    digest uuid NOT NULL,
    finish text NOT NULL,
    detail json,
    xid bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.arena_round (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    turn_id uuid NOT NULL,
    impression_id uuid NOT NULL,
    models text[] NOT NULL,
    answer_ids uuid[] NOT NULL,
    vote_id uuid,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT arena_round_slots_valid CHECK (((cardinality(models) = 2) AND (cardinality(answer_ids) = 2)))
);

CREATE TABLE public.assignment (
    project_id integer NOT NULL,
    annotator_id uuid NOT NULL,
    comparison_id uuid NOT NULL,
    impression_id uuid NOT NULL,
    state text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    feedback_id uuid,
    CONSTRAINT assignment_state_valid CHECK ((state = ANY (ARRAY['leased'::text, 'answered'::text, 'skipped'::text, 'expired'::text, 'retracted'::text])))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.audit (
    id uuid NOT NULL,
    project_id integer,
    actor_id uuid,
    actor text NOT NULL,
    action text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.comparison (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    digest uuid NOT NULL,
    content_digest uuid NOT NULL,
    key text,
    prompt_id uuid NOT NULL,
    completion_ids uuid[] NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    metadata json,
    gold json,
    priority smallint DEFAULT 0 NOT NULL,
    wanted smallint NOT NULL,
    taken smallint DEFAULT 0 NOT NULL,
    answered smallint DEFAULT 0 NOT NULL,
    created_xid bigint NOT NULL,
    queued_xid bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT comparison_completions_valid CHECK (((cardinality(completion_ids) >= 2) AND (cardinality(completion_ids) <= 9))),
    CONSTRAINT comparison_counts_valid CHECK (((wanted >= 0) AND (taken >= 0) AND (answered >= 0)))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.completion (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    prompt_id uuid NOT NULL,
    model_id uuid,
    content text,
    metadata json,
    CONSTRAINT completion_content_size CHECK ((octet_length(content) <= 1048576))
);

CREATE TABLE public.conversation (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    surface text NOT NULL,
    end_user_id uuid,
    named_id uuid,
    key_id uuid,
    confidence real NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone
);

CREATE TABLE public.feedback (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    impression_id uuid NOT NULL,
    annotator_id uuid,
    comparison_id uuid,
    kind text NOT NULL,
    choice smallint,
    strength smallint,
    detail jsonb,
    duration_ms integer,
    source text NOT NULL,
    supersedes uuid,
    xid bigint NOT NULL,
    at timestamp with time zone,
    CONSTRAINT feedback_choice_valid CHECK (((choice >= '-3'::integer) AND (choice <= 8))),
    CONSTRAINT feedback_kind_valid CHECK (((kind <> 'judgment'::text) OR (choice IS NOT NULL) OR (detail ? 'ranking'::text))),
    CONSTRAINT feedback_strength_valid CHECK (((strength >= 1) AND (strength <= 3)))
)
PARTITION BY RANGE (id);

CREATE TABLE public.impression (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    surface text NOT NULL,
    annotator_id uuid,
    comparison_id uuid,
    shown smallint[],
    policy text NOT NULL,
    propensity real,
    at timestamp with time zone
)
PARTITION BY RANGE (id);

CREATE TABLE public.invite (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    token_hash bytea NOT NULL,
    role public.project_role NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    uses_left integer NOT NULL,
    used integer DEFAULT 0 NOT NULL,
    CONSTRAINT invite_token_valid CHECK ((length(token_hash) = 32)),
    CONSTRAINT invite_uses_valid CHECK ((uses_left >= 0))
);

CREATE TABLE public.label_rule (
    name text NOT NULL,
    version smallint NOT NULL,
    kind text NOT NULL,
    follow smallint,
    definition text NOT NULL,
    CONSTRAINT label_rule_kind_valid CHECK ((kind = ANY (ARRAY['label'::text, 'pair'::text])))
);

CREATE TABLE public.lease_cursor (
    project_id integer NOT NULL,
    annotator_id uuid NOT NULL,
    priority smallint NOT NULL,
    queued_xid bigint NOT NULL,
    comparison_id uuid NOT NULL,
    moved_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.ledger_cluster (
    only_row boolean DEFAULT true NOT NULL,
    system_identifier bigint NOT NULL,
    xid_offset bigint NOT NULL,
    CONSTRAINT ledger_cluster_only_row_check CHECK (only_row)
);

CREATE TABLE public.model (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL
);

ALTER TABLE public.project ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.project_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.prompt (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    messages json,
    group_name text,
    split_bucket smallint NOT NULL,
    CONSTRAINT prompt_bucket_valid CHECK (((split_bucket >= 0) AND (split_bucket <= 9999)))
);

CREATE TABLE public.schema_migration (
    name text NOT NULL,
    hash bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.session (
    token_hash bytea NOT NULL,
    account_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT session_token_valid CHECK ((length(token_hash) = 32))
);

CREATE TABLE public.session_cursor (
    project_id integer NOT NULL,
    xid bigint NOT NULL,
    answer_id uuid NOT NULL
);

CREATE TABLE public.sign_in_link (
    token_hash bytea NOT NULL,
    account_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT sign_in_link_token_valid CHECK ((length(token_hash) = 32))
);

CREATE TABLE public.snapshot (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    boundary_xid bigint NOT NULL,
    filters jsonb DEFAULT '{}'::jsonb NOT NULL,
    hash bytea NOT NULL,
    comparisons bigint NOT NULL,
    judgments bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    erased_at timestamp with time zone,
    erased integer DEFAULT 0 NOT NULL,
    CONSTRAINT snapshot_name_valid CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'::text))
);

CREATE TABLE public.turn (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    parent_id uuid,
    depth smallint NOT NULL,
    has_user boolean NOT NULL,
    messages json NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.upstream (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    sealed_key bytea,
    models text[] DEFAULT '{}'::text[] NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    timeout_ms integer DEFAULT 600000 NOT NULL,
    concurrency integer DEFAULT 1024 NOT NULL,
    disabled boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT upstream_limits_valid CHECK ((((timeout_ms >= 100) AND (timeout_ms <= 3600000)) AND ((concurrency >= 1) AND (concurrency <= 100000)))),
    CONSTRAINT upstream_name_valid CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'::text)),
    CONSTRAINT upstream_url_valid CHECK (((url = 'demo:'::text) OR ((url ~ '^https?://[^[:space:]]+$'::text) AND (length(url) <= 500))))
);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_login_unique UNIQUE (login);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.annotator
    ADD CONSTRAINT annotator_name_unique UNIQUE (project_id, name);

ALTER TABLE ONLY public.annotator
    ADD CONSTRAINT annotator_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.answer
    ADD CONSTRAINT answer_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.arena_round
    ADD CONSTRAINT arena_round_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.assignment
    ADD CONSTRAINT assignment_pkey PRIMARY KEY (project_id, annotator_id, comparison_id);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.comparison
    ADD CONSTRAINT comparison_digest_unique UNIQUE (project_id, digest);

ALTER TABLE ONLY public.comparison
    ADD CONSTRAINT comparison_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.completion
    ADD CONSTRAINT completion_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.conversation
    ADD CONSTRAINT conversation_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.impression
    ADD CONSTRAINT impression_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.label_rule
    ADD CONSTRAINT label_rule_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.lease_cursor
    ADD CONSTRAINT lease_cursor_pkey PRIMARY KEY (project_id, annotator_id, priority);

ALTER TABLE ONLY public.ledger_cluster
    ADD CONSTRAINT ledger_cluster_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (project_id, account_id);

ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_name_unique UNIQUE (project_id, name);

ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_slug_unique UNIQUE (slug);

ALTER TABLE ONLY public.prompt
    ADD CONSTRAINT prompt_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.session_cursor
    ADD CONSTRAINT session_cursor_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.sign_in_link
    ADD CONSTRAINT sign_in_link_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.snapshot
    ADD CONSTRAINT snapshot_name_unique UNIQUE (project_id, name);

ALTER TABLE ONLY public.snapshot
    ADD CONSTRAINT snapshot_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.turn
    ADD CONSTRAINT turn_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.upstream
    ADD CONSTRAINT upstream_name_unique UNIQUE (project_id, name);

ALTER TABLE ONLY public.upstream
    ADD CONSTRAINT upstream_pkey PRIMARY KEY (project_id, id);

CREATE INDEX answer_conversation ON public.answer USING btree (project_id, conversation_id, id);

CREATE INDEX answer_edit ON public.answer USING btree (project_id, edit_of) WHERE (edit_of IS NOT NULL);

CREATE INDEX answer_ledger ON public.answer USING btree (project_id, xid, id);

CREATE INDEX answer_turn ON public.answer USING btree (project_id, turn_id, id);

CREATE INDEX api_key_id ON public.api_key USING btree (id);

CREATE UNIQUE INDEX api_key_token ON public.api_key USING btree (token_hash);

CREATE INDEX arena_round_conversation ON public.arena_round USING btree (project_id, conversation_id, id);

CREATE INDEX assignment_expiry ON public.assignment USING btree (expires_at) WHERE (state = 'leased'::text);

CREATE INDEX audit_project ON public.audit USING btree (project_id, id);

CREATE INDEX comparison_open ON public.comparison USING btree (project_id, priority DESC, queued_xid, id) WHERE (taken < wanted);

CREATE INDEX conversation_user ON public.conversation USING btree (project_id, end_user_id, id DESC);

CREATE INDEX feedback_annotator ON ONLY public.feedback USING btree (project_id, annotator_id, id);

CREATE INDEX feedback_comparison ON ONLY public.feedback USING btree (project_id, comparison_id, id);

CREATE INDEX feedback_supersedes ON ONLY public.feedback USING btree (project_id, supersedes) WHERE (supersedes IS NOT NULL);

CREATE UNIQUE INDEX invite_token ON public.invite USING btree (token_hash);

CREATE INDEX member_account ON public.member USING btree (account_id, project_id);

CREATE INDEX session_account ON public.session USING btree (account_id);

CREATE INDEX turn_parent ON public.turn USING btree (project_id, parent_id, at) WHERE (parent_id IS NOT NULL);

CREATE TRIGGER audit_append_only BEFORE DELETE OR UPDATE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER feedback_append_only BEFORE DELETE OR UPDATE ON public.feedback FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER impression_append_only BEFORE DELETE OR UPDATE ON public.impression FOR EACH ROW EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.annotator
    ADD CONSTRAINT annotator_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.session_cursor
    ADD CONSTRAINT session_cursor_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.sign_in_link
    ADD CONSTRAINT sign_in_link_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.snapshot
    ADD CONSTRAINT snapshot_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.upstream
    ADD CONSTRAINT upstream_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id) ON DELETE CASCADE;

