-- Labels from what people did: each rule is a function of the ledger below a boundary, so it can be run
-- over all of history again and gives the same rows. Nothing of it is stored; a changed rule gets a new
-- version here, and what was exported before says by which one.

create table label_rule (
    name       text primary key,
    version    smallint not null,
    kind       text not null,               -- label | pair
    follow     smallint,                    -- K of the continue rules
    definition text not null,
    constraint label_rule_kind_valid check (kind in ('label', 'pair'))
);

insert into label_rule (name, version, kind, follow, definition) values
('continue-1', 1, 'label', 1, '1 when the person wrote at least one more message after the answer; 0 when the conversation ended before. Open conversations: none yet.'),
('continue-2', 1, 'label', 2, '1 when the person wrote at least two more messages after the answer; the last two answers of an ended conversation are 0. Open conversations: none yet.'),
('continue-4', 1, 'label', 4, '1 when the person wrote at least four more messages after the answer; the last four answers of an ended conversation are 0. Open conversations: none yet.'),
('no-retry', 1, 'label', null, '0 when another answer was asked for instead; 1 when the person went on, or the conversation ended, without that.'),
('continue-no-retry', 1, 'label', 2, '1 when no other answer was asked for and at least two more messages followed; 0 when one was asked for, or the conversation ended before.'),
('star', 1, 'label', null, 'From stars: 1 for four or more (or a star without a number), else 0. The last one given counts.'),
('thumb', 1, 'label', null, '1 for a thumb up, 0 for a thumb down. The last one given counts.'),
('edit', 1, 'label', null, '0 when the person changed the answer; 1 when they went on from it unchanged.'),
('reply-180s', 1, 'label', null, '1 when the next message came within 180 seconds of the answer; 0 when it came later, or the conversation ended. Open conversations: none yet.'),
('pair-retry', 1, 'pair', null, 'The answer the person went on from is preferred to each other answer to the same message that was given up for another.'),
('pair-edit', 1, 'pair', null, 'The text the person changed an answer into is preferred to the answer.'),
('pair-vote', 1, 'pair', null, 'The answer that was chosen side by side is preferred to the one beside it.');

-- When a v7 id was made.
create function id_time(id uuid) returns timestamptz language sql immutable as $$
    select to_timestamp(('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint
                        / 1000.0) $$;

-- All messages up to and including a turn, as one list.
create function turn_messages(project integer, last_turn uuid) returns json
language plpgsql stable as $$
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

-- What became of each answer that was shown, below the boundary (null: of all).
--   remaining: messages the person wrote after it, along the longest way on
--   ended: the leave that ended the conversation it belongs to; null while it is open
create function answer_outcomes(project integer, boundary bigint)
returns table (id uuid, turn_id uuid, conversation_id uuid, end_user_id uuid, confidence real,
               at timestamptz, remaining integer, reply_at timestamptz, ended uuid, retries uuid[],
               continues uuid[], edits uuid[], thumb_id uuid, thumb boolean, star_id uuid,
               star boolean)
language sql stable as $$
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

-- Labels and pairs by all rules, or by one. worse_id null: a label, value 1 or 0.
create function label_rows(project integer, boundary bigint, only_rule text)
returns table (rule text, version smallint, answer_id uuid, worse_id uuid, value smallint,
               confidence real, events uuid[])
language sql stable as $$
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

-- A person's words, removed. Everything of the conversation goes but its shape: who said something
-- when, and what followed; a snapshot whose rows have changed says when and how often.
alter table snapshot add column erased_at timestamptz;
alter table snapshot add column erased integer not null default 0;

create function erase_conversations(project integer, ids uuid[])
returns table (answers bigint, comments bigint, snapshots bigint)
language plpgsql set aileron.erasing = 'on' as $$
declare
    first_xid bigint;
begin
    select min(a.xid) into first_xid from answer a
     where a.project_id = project and a.conversation_id = any (ids);
    update turn t set messages = '[]'
     where t.project_id = project and t.conversation_id = any (ids);
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

create function erase_user(project integer, people uuid[], names text[], audit_id uuid,
                           actor_name text)
returns table (conversations bigint, answers bigint, comments bigint, prompts bigint,
               snapshots bigint)
language plpgsql set aileron.erasing = 'on' as $$
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

-- Conversations whose last answer is older than the project keeps them. Returns how many.
create function erase_expired(most integer) returns bigint
language plpgsql as $$
declare
    kept record;
    ids uuid[];
    total bigint := 0;
begin
    for kept in
        select p.id, (settings_full(p.settings) ->> 'retention_days')::integer as days from project p
         where (settings_full(p.settings) ->> 'retention_days')::integer > 0
    loop
        select array_agg(old.id) into ids from (
            select c.id from conversation c
             where c.project_id = kept.id and c.at < now() - make_interval(days => kept.days)
               and exists (select from answer a where a.project_id = kept.id
                              and a.conversation_id = c.id and a.content <> '')
               and not exists (select from answer a where a.project_id = kept.id
                                  and a.conversation_id = c.id
                                  and a.at >= now() - make_interval(days => kept.days))
             limit most) old;
        if ids is not null then
            perform erase_conversations(kept.id, ids);
            total := total + cardinality(ids);
        end if;
    end loop;
    return total;
end $$;
