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
seen as materialized (       -- one index descent each, and none where the condition on a is false
    select a.*, p.id as parent_id, p.impression_id as parent_impression_id,
           p.conversation_id as parent_tree_id, c.id as candidate_id, c.content as candidate_content,
           r.id as retried_id, r.impression_id as retried_impression_id,
           r.conversation_id as retried_tree_id, s.id as rephrased_id,
           s.impression_id as rephrased_impression_id, v.id as overtaker_id,
           v.signal as overtaker_signal, o.id as opened_answer_id,
           o.impression_id as opened_impression_id, o.conversation_id as opened_id,
           o.messages as opened_messages
      from asked a
      left join lateral (    -- the answer it goes on from: the one that is known, or the latest of that text
           (select id, impression_id, conversation_id from answer
             where a.known_parent_id is not null
               and project_id = a.project_id and id = a.known_parent_id)
           union all
           (select id, impression_id, conversation_id from answer
             where a.known_parent_id is null and a.before_id is not null
               and project_id = a.project_id and turn_id = a.before_id
               and digest = a.before_digest and at > now() - make_interval(secs => a.follow_s)
             order by id desc limit 1)) p on true
      left join lateral (    -- no such answer: one of another text
           select id, content from answer
            where a.before_id is not null and p.id is null
              and project_id = a.project_id and turn_id = a.before_id and impression_id is not null
            order by id desc limit 1) c on true
      left join lateral (    -- the answer that was last shown for the very same chain
           select id, impression_id, conversation_id
             from (select * from answer
                    where a.choice = 0
                      and project_id = a.project_id and turn_id = a.turn_id
                      and impression_id is not null and id < a.id
                    order by id desc limit 1) last
            where at > now() - make_interval(secs => a.retry_s)) r on true
      left join lateral (    -- the latest answer to another turn after the same answer
           (select n.id, n.impression_id
              from turn t
             cross join lateral (
                   select id, impression_id from answer
                    where project_id = a.project_id and turn_id = t.id and impression_id is not null
                      and id < a.id
                    order by id desc limit 1) n
             where a.has_user and p.id is not null and r.id is null
               and t.project_id = a.project_id and t.parent_id = p.id and t.id <> a.turn_id
             order by t.at desc limit 1)
           union all         -- or to another first turn, where the conversation is known
           (select n.id, n.impression_id
              from answer n
              join turn t on t.project_id = a.project_id and t.id = n.turn_id
             where a.has_user and a.known_id is not null and a.before_id is null and r.id is null
               and n.project_id = a.project_id and n.conversation_id = a.known_id
               and n.impression_id is not null and n.id < a.id and n.turn_id <> a.turn_id
               and t.parent_id is null
             order by n.id desc limit 1)
           limit 1) s on true
      left join lateral (    -- the client gave up and asked again, or otherwise: that came here first
           (select id, 'retry' as signal from answer
             where a.finish = 'stopped' and a.retry_s > 0 and a.choice = 0 and not a.told
               and project_id = a.project_id and turn_id = a.turn_id and impression_id is not null
               and id > a.id
             order by id limit 1)
           union all
           (select n.id, 'rephrase'
              from turn t
             cross join lateral (
                   select id from answer
                    where project_id = a.project_id and turn_id = t.id
                      and impression_id is not null and id > a.id
                    order by id limit 1) n
             where a.finish = 'stopped' and a.retry_s > 0 and a.choice = 0 and not a.told
               and t.project_id = a.project_id and t.parent_id = p.id and t.id <> a.turn_id
             order by t.at limit 1)
           union all         -- a round's answer, after both were asked to try again, or otherwise
           (select l.answer_ids[array_position(own.answer_ids, a.id)],
                   case when l.turn_id = a.turn_id then 'retry' else 'rephrase' end
              from arena_round own
              join arena_round l on l.project_id = a.project_id
                                and l.conversation_id = a.known_id and l.id > own.id
              join turn t on t.project_id = a.project_id and t.id = l.turn_id
             where a.told and own.project_id = a.project_id and own.conversation_id = a.known_id
               and a.id = any (own.answer_ids)
               and (l.turn_id = a.turn_id or t.parent_id is not distinct from a.known_parent_id)
             order by l.turn_id = a.turn_id desc, l.id limit 1)
           limit 1) v on true
      left join lateral (    -- the person's latest conversation, while it stands at its first turn
           select n.id, n.impression_id, n.conversation_id, t.messages
             from (select id, named_id from conversation
                    where a.before_id is null and a.has_user and a.depth = 1 and a.choice = 0
                      and a.known_id is null and r.id is null
                      and project_id = a.project_id and end_user_id = a.end_user_id
                    order by id desc limit 1) c
            cross join lateral (
                  select * from answer
                   where project_id = a.project_id and conversation_id = c.id
                   order by id desc limit 1) n
            cross join lateral (
                  select * from turn where project_id = a.project_id and id = n.turn_id offset 0) t
            where c.named_id is not distinct from a.named_id
              and n.impression_id is not null and n.id < a.id and n.turn_id <> a.turn_id
              and t.depth = 1 and n.at > now() - make_interval(secs => a.session_s)) o on true),
settled as materialized (
    select *,
           coalesce(known_id, parent_tree_id, retried_tree_id, conversation_id) as tree_id,
           case when choice > 0 or told or overtaker_id is not null then null -- told by who overtook
                when retried_id is not null then 'retry'
                when rephrased_id is not null then 'rephrase'
                when parent_impression_id is not null and has_user then 'continue' end as signal,
           coalesce(retried_impression_id, rephrased_impression_id, parent_impression_id)
               as told_impression_id,
           coalesce(retried_id, rephrased_id, parent_id) as told_id
      from seen
     where before_id is null or parent_id is not null),
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
    select project_id, overtaken_id, impression_id, end_user_id, overtaker_signal,
           jsonb_build_object('answer', id, 'by', overtaker_id, 'confidence', confidence), surface,
           (select ledger_xid()), now()
      from settled where overtaker_id is not null)
select place as _place,
       coalesce(known_id, parent_tree_id, retried_tree_id, conversation_id) as conversation_id,
       case when before_id is null or parent_id is not null then 'done'
            when candidate_id is not null then 'edited' else 'unknown' end as outcome,
       candidate_id, candidate_content, opened_answer_id, opened_impression_id, opened_id,
       opened_messages
  from seen
