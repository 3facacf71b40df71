-- Slots and indexes: the one place where the side shown is mapped to the completion, and back.
-- A slot is a letter, A for the first place on the screen; shown[slot] is the completion's index.

create function slot_to_index(shown smallint[], slot text) returns smallint
language sql immutable strict as
    $$ select shown[ascii(slot) - ascii('A') + 1] $$;

create function index_to_slot(shown smallint[], index integer) returns text
language sql immutable strict as
    $$ select chr(ascii('A') - 1 + array_position(shown, index::smallint)) $$;

-- choice as text ("A", "tie", …) <-> feedback.choice
create function choice_to_index(shown smallint[], choice text) returns smallint
language sql immutable as $$
    select case choice when 'tie' then -1::smallint when 'both_bad' then -2::smallint
                       when 'cannot_judge' then -3::smallint
                       else slot_to_index(shown, choice) end $$;

create function choice_to_slot(shown smallint[], choice smallint) returns text
language sql immutable as $$
    select case choice when -1 then 'tie' when -2 then 'both_bad' when -3 then 'cannot_judge'
                       else index_to_slot(shown, choice::integer) end $$;

-- Renames the members of {"A":…} to {"0":…}, or back when `back`.
create function slots_rename_keys(shown smallint[], value jsonb, back boolean) returns jsonb
language plpgsql immutable as $$
begin
    return (
        select jsonb_object_agg(case when back then index_to_slot(shown, key::integer)
                                     else slot_to_index(shown, key)::text end, member)
          from jsonb_each(value) as e(key, member));
end $$;

-- A judgment's detail in slots -> in completion indexes, or back. Members: ranking [["A"],["B"]],
-- criteria {"NAME":{"choice":"A","strength"}}, ratings/flags/edits {"A":…}; the rest as it is.
create function slots_map_detail(shown smallint[], detail jsonb, back boolean) returns jsonb
language plpgsql immutable as $$
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
end $$;

-- Months ahead of the id-ranged tables, and all the past (imports carry old times) in one. A month
-- that cannot be made now stays in the default partition: because rows of it are there already (the
-- server was off at the turn of the month, or an import carried future times), or because somebody
-- holds the table for long; waiting would make every other statement wait behind us.
create function partition_bound(moment timestamptz) returns uuid
language sql immutable as $$
    select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid $$;

create function partition_ensure(ahead_months integer) returns integer
language plpgsql set timezone = 'UTC' set lock_timeout = '2s' as $$
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

-- At every start: partitions for the coming months, and, when this database was restored into another
-- cluster (dump and restore), an offset that keeps ledger_xid() above everything stored.
create function schema_upkeep(ahead_months integer) returns boolean language plpgsql as $$
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
select partition_ensure(1);

-- A principal's name in the audit log.
create function principal_name(project integer, principal uuid) returns text
language sql stable as $$
    select case when principal is null then 'command line' else coalesce(
        (select login from account where id = principal),
        (select 'key ' || name from api_key where project_id = project and id = principal),
        principal::text) end $$;

-- Project settings with their defaults: the one list of them in SQL.
create function settings_full(settings jsonb) returns jsonb language sql immutable as $$
    select '{"question": "Which answer is better?", "instructions": "", "kind": "auto",
             "strength_levels": 3, "ties": true, "both_bad": true, "cannot_judge": true,
             "rationale": "optional", "edits": true, "criteria": [], "ratings": null, "flags": [],
             "overlap": 1, "lease_seconds": 900, "gold_share": 0, "repeat_share": 0,
             "mirror_share": 0, "policy": "queue", "show_own_progress": true,
             "session_seconds": 1800, "pair_share": 0, "pair_model": "", "retention_days": 0}'::jsonb || settings $$;

-- Does a ranking of slots name each shown slot exactly once?
create function ranking_covers(shown smallint[], ranking jsonb) returns boolean
language plpgsql immutable as $$
begin
    return (
        select count(*) = cardinality(shown) and count(distinct slot #>> '{}') = cardinality(shown)
               and bool_and(jsonb_typeof(slot) = 'string' and slot_to_index(shown, slot #>> '{}') is not null)
          from jsonb_array_elements(ranking) as rank, jsonb_array_elements(rank) as slot);
end $$;

-- Why a judgment (in slots, its shapes already checked) does not fit its task: 'pointer|reason',
-- or null when it does.
create function judgment_problem(given jsonb, shown smallint[], choice text, strength integer,
                                 detail jsonb) returns text
language plpgsql immutable as $$
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
end $$;

-- Null, or what is wrong with one candidate's ratings, as "/NAME|message". Without a scale of the
-- project's own (null) any name is taken, from 1 to 7.
create function rating_problem(scale jsonb, given jsonb) returns text
language sql immutable as $$
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

-- A judgment as its body was given, in slots.
create function judgment_body(shown smallint[], choice smallint, strength smallint, detail jsonb,
                              duration_ms integer) returns jsonb
language plpgsql immutable as $$
begin
    return (
        select jsonb_strip_nulls(jsonb_build_object('choice', choice_to_slot(shown, choice),
                   'strength', strength, 'duration_ms', duration_ms))
               || coalesce(slots_map_detail(shown, detail, true), '{}'));
end $$;

-- The first characters of a comparison's last prompt message and of its candidates, by slot.
create function task_excerpt(project integer, comparison uuid, shown smallint[]) returns jsonb
language plpgsql stable as $$
begin
    return (
    select jsonb_build_object('prompt', left(case json_typeof(p.messages)
                   when 'string' then p.messages #>> '{}'
                   when 'array' then p.messages -> -1 ->> 'content' else '' end, 200))
           || (select jsonb_object_agg(chr(ascii('A') - 1 + s.slot::integer), left(c.content, 200))
                 from unnest(shown) with ordinality as s (index, slot)
                 join completion c on c.project_id = project
                                  and c.id = q.completion_ids[s.index + 1])
      from comparison q join prompt p on p.project_id = project and p.id = q.prompt_id
     where q.project_id = project and q.id = comparison );
end $$;

-- A time as RFC 3339 in UTC, for JSON made here.
create function time_text(moment timestamptz) returns text language sql immutable as
    $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- Enough for plans on tables that were empty a moment ago; autovacuum does better in its time.
-- completion, by far the largest, is found by its primary key only.
create function statistics_refresh() returns void language plpgsql
set default_statistics_target = 10 as $$
begin
    analyze model, prompt, comparison, annotator, impression, feedback, assignment;
end $$;
