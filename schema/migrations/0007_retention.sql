-- What a project keeps for a time only: all of a conversation's words go, also where an answer is
-- nothing but tool calls, and questions of rounds that nobody answered.

-- Turns are found by answers and rounds, which have indexes; there is no turn without either.
create or replace function erase_conversations(project integer, ids uuid[])
returns table (answers bigint, comments bigint, snapshots bigint)
language plpgsql set aileron.erasing = 'on' as $$
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

-- Whether the conversation still holds words, and none younger than `since`.
create function conversation_expired(project integer, conversation uuid, since timestamptz)
returns boolean language plpgsql stable as $$
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

-- Conversations in which nothing was said since the project keeps words. Returns how many.
create or replace function erase_expired(most integer) returns bigint
language plpgsql as $$
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
