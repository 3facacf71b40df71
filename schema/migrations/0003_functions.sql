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
language sql immutable as $$
    select jsonb_object_agg(case when back then index_to_slot(shown, key::integer)
                                 else slot_to_index(shown, key)::text end, member)
      from jsonb_each(value) as e(key, member) $$;

-- A judgment's detail in slots -> in completion indexes, or back. Members: ranking [["A"],["B"]],
-- criteria {"NAME":{"choice":"A","strength"}}, ratings/flags/edits {"A":…}; the rest as it is.
create function slots_map_detail(shown smallint[], detail jsonb, back boolean) returns jsonb
language sql immutable as $$
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
      || (detail - '{ranking,criteria,ratings,flags,edits}'::text[]) end $$;

-- Months ahead of the id-ranged tables, and all the past (imports carry old times) in one.
create function partition_bound(moment timestamptz) returns uuid
language sql immutable as $$
    select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid $$;

create function partition_ensure(ahead_months integer) returns integer language plpgsql as $$
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
                execute format('create table %I partition of %I for values from (%L) to (%L)',
                               name, parent, partition_bound(month),
                               partition_bound(month + interval '1 month'));
                made := made + 1;
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
