-- lane: merge
-- Records what was asked and answered, and what that says about earlier answers: retry, continue,
-- rephrase, stop. Ids are v7 from the request's arrival, so "earlier" is an order of ids.
-- Elements of the arrays belong together; a row of the result answers the element _place.
-- $1 project ids
-- $2 answer ids
-- $3 impression ids
-- $4 conversation ids, used when this begins one
-- $5 end users, or null
-- $6 keys, or null
-- $7 surfaces
-- $8 turn ids: the hash of the whole chain
-- $9 ids of the turns before the last answer in it, or null
-- $10 digests of that last answer, or null
-- $11 messages since that answer, as JSON
-- $12 true: a user speaks in them
-- $13 user messages in the chain
-- $14 names of the models
-- $15 answer texts
-- $16 answers as JSON where they are more than text, or null
-- $17 digests of the answers
-- $18 how they ended
-- $19 details as JSON, or null
-- $20 confidence in who speaks, 0 to 1
-- $21 seconds in which the same chain is a retry; 0: never
-- $22 seconds in which a chain goes on from an answer
-- $23 place among the request's choices; only of the first anything is inferred
-- $24 ids for the signal about an earlier answer
-- $25 ids for a stop
-- $26 ids for a retry that was recorded before what it retries
-- $27 conversation ids that are known (a chat's own), or null
-- $28 seconds of silence after which a conversation is over
-- $29 hashes of the names that clients gave their conversations, or null
-- $30 answers they go on from, where those are known (a chat's own), or null
-- $31 true: of a round, whose impression is there and which has told what it says of earlier answers
-- index: answer_turn
-- Result: conversation_id; outcome done | unknown: the chain's past is not here, nothing was
-- recorded; edited: the last answer in it is not one we gave, see candidate_id, nothing was recorded.
-- opened_*: a first turn of the same person that this one may be another wording of.
with asked as materialized (
    select *
      from unnest($1::integer[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[],
                  $7::text[], $8::uuid[], $9::uuid[], $10::uuid[], $11::json[], $12::boolean[],
                  $13::smallint[], $14::text[], $15::text[], $16::json[], $17::uuid[], $18::text[],
                  $19::json[], $20::real[], $21::integer[], $22::integer[], $23::smallint[],
                  $24::uuid[], $25::uuid[], $26::uuid[], $27::uuid[], $28::integer[], $29::uuid[],
                  $30::uuid[], $31::boolean[])
           with ordinality as a (project_id, id, impression_id, conversation_id, end_user_id, key_id,
                                 surface, turn_id, before_id, before_digest, messages, has_user,
                                 depth, model, content, message, digest, finish, detail, confidence,
                                 retry_s, follow_s, choice, signal_id, stop_id, overtaken_id,
                                 known_id, session_s, named_id, known_parent_id, told, place)),
parent as materialized (     -- the answer it goes on from: the latest of that text
    select a.place, p.*
      from asked a
     cross join lateral (
           select id as answer_id, impression_id, conversation_id
             from answer
            where project_id = a.project_id and turn_id = a.before_id and digest = a.before_digest
              and a.known_parent_id is null and at > now() - make_interval(secs => a.follow_s)
            order by id desc limit 1) p
    union all
    select a.place, p.*
      from asked a
     cross join lateral (
           select id, impression_id, conversation_id
             from answer where project_id = a.project_id and id = a.known_parent_id offset 0) p),
lost as materialized (       -- no such answer: one of another text, or none at all
    select a.place, c.id as candidate_id
      from asked a
      left join lateral (
           select id from answer
            where project_id = a.project_id and turn_id = a.before_id and impression_id is not null
            order by id desc limit 1) c on true
     where a.before_id is not null and not exists (select from parent p where p.place = a.place)),
retried as materialized (    -- the answer that was last shown for the very same chain
    select a.place, r.*
      from asked a
     cross join lateral (
           select id as answer_id, impression_id, conversation_id, at
             from answer
            where project_id = a.project_id and turn_id = a.turn_id and impression_id is not null
              and id < a.id
            order by id desc limit 1) r
     where a.choice = 0 and r.at > now() - make_interval(secs => a.retry_s)),
overtaken as materialized (  -- the client gave up and asked again, or otherwise: that came here first
    select a.place, o.*
      from asked a
      left join parent p on p.place = a.place
     cross join lateral (
           (select id as answer_id, 'retry' as signal
              from answer
             where project_id = a.project_id and turn_id = a.turn_id and impression_id is not null
               and id > a.id
             order by id limit 1)
           union all
           (select r.id, 'rephrase'
              from turn t
             cross join lateral (
                   select id from answer
                    where project_id = a.project_id and turn_id = t.id
                      and impression_id is not null and id > a.id
                    order by id limit 1) r
             where t.project_id = a.project_id and t.parent_id = p.answer_id and t.id <> a.turn_id
             order by t.at limit 1)
           limit 1) o
     where a.finish = 'stopped' and a.retry_s > 0 and a.choice = 0 and not a.told),
rephrased as materialized (  -- the latest answer to another turn after the same answer
    select a.place, s.answer_id, s.impression_id
      from asked a
      join parent p on p.place = a.place
     cross join lateral (
           select r.id as answer_id, r.impression_id
             from turn t
            cross join lateral (
                  select id, impression_id from answer
                   where project_id = a.project_id and turn_id = t.id and impression_id is not null
                     and id < a.id
                   order by id desc limit 1) r
            where t.project_id = a.project_id and t.parent_id = p.answer_id and t.id <> a.turn_id
            order by t.at desc limit 1) s
     where a.has_user and not exists (select from retried r where r.place = a.place)
    union all                -- or to another first turn, where the conversation is known
    select a.place, s.id, s.impression_id
      from asked a
     cross join lateral (
           select r.id, r.impression_id
             from answer r
             join turn t on t.project_id = a.project_id and t.id = r.turn_id
            where r.project_id = a.project_id and r.conversation_id = a.known_id
              and r.impression_id is not null and r.id < a.id and r.turn_id <> a.turn_id
              and t.parent_id is null
            order by r.id desc limit 1) s
     where a.known_id is not null and a.before_id is null and a.has_user
       and not exists (select from retried r where r.place = a.place)),
opened as materialized (     -- the person's latest conversation, while it stands at its first turn
    select a.place, o.*
      from asked a
     cross join lateral (
           select r.id as answer_id, r.impression_id, r.conversation_id, t.messages
             from (select id, named_id from conversation
                    where project_id = a.project_id and end_user_id = a.end_user_id
                    order by id desc limit 1) c
            cross join lateral (
                  select * from answer
                   where project_id = a.project_id and conversation_id = c.id
                   order by id desc limit 1) r
            cross join lateral (
                  select * from turn where project_id = a.project_id and id = r.turn_id offset 0) t
            where c.named_id is not distinct from a.named_id
              and r.impression_id is not null and r.id < a.id and r.turn_id <> a.turn_id
              and t.depth = 1 and r.at > now() - make_interval(secs => a.session_s)) o
     where a.end_user_id is not null and a.before_id is null and a.has_user and a.depth = 1
       and a.choice = 0 and a.known_id is null
       and not exists (select from retried r where r.place = a.place)),
settled as materialized (
    select a.*, p.answer_id as parent_id,
           coalesce(a.known_id, p.conversation_id, r.conversation_id, a.conversation_id) as tree_id,
           case when a.choice > 0 or a.told or v.place is not null then null
                when r.place is not null then 'retry'
                when s.place is not null then 'rephrase'
                when p.impression_id is not null and a.has_user then 'continue' end as signal,
           coalesce(r.impression_id, s.impression_id, p.impression_id) as told_impression_id,
           coalesce(r.answer_id, s.answer_id, p.answer_id) as told_id
      from asked a
      left join parent p on p.place = a.place
      left join retried r on r.place = a.place
      left join rephrased s on s.place = a.place
      left join overtaken v on v.place = a.place -- who overtook it has told
     where not exists (select from lost l where l.place = a.place)),
began as (
    insert into conversation (project_id, id, surface, end_user_id, named_id, key_id, confidence)
    select project_id, tree_id, surface, end_user_id, named_id, key_id, confidence
      from settled where tree_id = conversation_id
    on conflict do nothing),
said as (
    insert into turn (project_id, id, conversation_id, parent_id, depth, has_user, messages)
    select project_id, turn_id, tree_id, parent_id, depth, has_user, messages from settled
    on conflict do nothing),
shown as (
    insert into impression (project_id, id, surface, annotator_id, policy, propensity, at)
    select project_id, impression_id, surface, end_user_id, 'served', 1, now()
      from settled where choice = 0 and not told),
answered as (
    insert into answer (project_id, id, turn_id, conversation_id, impression_id, model, content,
                        message, digest, finish, detail, xid)
    select project_id, id, turn_id, tree_id, impression_id, model, content, message, digest, finish,
           detail, (select ledger_xid())
      from settled),
told as (
    insert into feedback (project_id, id, impression_id, annotator_id, kind, detail, source, xid, at)
    select project_id, signal_id, told_impression_id, end_user_id, signal,
           jsonb_build_object('answer', told_id, 'by', id, 'confidence', confidence), surface,
           (select ledger_xid()), now()
      from settled where signal is not null
    union all
    select project_id, stop_id, impression_id, end_user_id, 'stop',
           jsonb_build_object('answer', id, 'characters', char_length(content)), surface,
           (select ledger_xid()), now()
      from settled where finish = 'stopped' and choice = 0
    union all
    select s.project_id, s.overtaken_id, s.impression_id, s.end_user_id, o.signal,
           jsonb_build_object('answer', s.id, 'by', o.answer_id, 'confidence', s.confidence),
           s.surface, (select ledger_xid()), now()
      from settled s join overtaken o on o.place = s.place)
select a.place as _place, s.tree_id as conversation_id,
       case when s.place is not null then 'done' when l.candidate_id is not null then 'edited'
            else 'unknown' end as outcome,
       s.signal, l.candidate_id,
       (select content from answer
         where project_id = a.project_id and id = l.candidate_id) as candidate_content,
       o.answer_id as opened_answer_id, o.impression_id as opened_impression_id,
       o.conversation_id as opened_id, o.messages as opened_messages
  from asked a
  left join settled s on s.place = a.place
  left join lost l on l.place = a.place
  left join opened o on o.place = a.place
