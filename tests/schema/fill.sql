-- Enough rows in every table that the planner sees what it would see in use; then ANALYZE.
-- Ids are made from numbers, so that tables refer to each other.
create function nth_id(kind integer, n bigint) returns uuid language sql immutable as $$
    select ('0190000' || kind || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;

insert into account (id, login, name) select nth_id(1, n), 'user-' || n, 'User'
  from generate_series(1, 1000) as n;
insert into session (token_hash, account_id, expires_at)
    select sha256(n::text::bytea), nth_id(1, n % 1000 + 1), now() + interval '1 day'
      from generate_series(1, 5000) as n;
insert into sign_in_link (token_hash, account_id, expires_at)
    select sha256(n::text::bytea), nth_id(1, n), now() from generate_series(1, 1000) as n;
insert into project (slug, title) select 'project-' || n, 'P' from generate_series(1, 50) as n;
insert into member (project_id, account_id, role)
    select p, nth_id(1, n), 'annotator' from generate_series(1, 50) as p,
           generate_series(p, 1000, 10) as n;
insert into invite (project_id, id, token_hash, role, created_by, expires_at, uses_left)
    select n % 50 + 1, nth_id(2, n), sha256(n::text::bytea), 'annotator', nth_id(1, 1), now(), 1
      from generate_series(1, 1000) as n;
insert into api_key (project_id, id, token_hash, prefix, role)
    select n % 50 + 1, nth_id(3, n), sha256(n::text::bytea), 'ak_', 'researcher'
      from generate_series(1, 1000) as n;
insert into audit (id, project_id, actor, action)
    select nth_id(4, n), n % 50 + 1, 'a', 'b' from generate_series(1, 5000) as n;
insert into model (project_id, id, name)
    select p, nth_id(5, n), 'model-' || n from generate_series(1, 50) as p,
           generate_series(1, 20) as n;
insert into prompt (project_id, id, messages, split_bucket)
    select n % 20 + 1, nth_id(6, n), '"hello"', n % 10000 from generate_series(1, 20000) as n;
insert into completion (project_id, id, prompt_id, model_id, content)
    select n / 2 % 20 + 1, nth_id(7, n), nth_id(6, n / 2), nth_id(5, n % 20 + 1), 'text'
      from generate_series(2, 40001) as n;
insert into comparison (project_id, id, digest, content_digest, key, prompt_id, completion_ids,
                        wanted, taken, answered, created_xid, queued_xid, priority)
    select n % 20 + 1, nth_id(8, n), nth_id(8, n), nth_id(8, n), 'key-' || n, nth_id(6, n),
           array[nth_id(7, 2 * n), nth_id(7, 2 * n + 1)], 2, n % 3, n % 3, n, n, n % 2
      from generate_series(1, 20000) as n;
insert into annotator (project_id, id, name)
    select p, nth_id(9, n), 'name-' || n from generate_series(1, 50) as p,
           generate_series(1, 100) as n;
insert into impression (project_id, id, surface, annotator_id, comparison_id, shown, policy, at)
    select n % 20 + 1, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'annotate',
           nth_id(1, n % 997 + 1), nth_id(8, n), '{0,1}', 'queue', now()
      from generate_series(1, 20000) as n;
insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, choice,
                      source, supersedes, xid, at)
    select n % 20 + 1, ('01900000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
           ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, nth_id(1, n % 997 + 1),
           nth_id(8, n), 'judgment', n % 2, 'annotate',
           case when n % 10 = 0 then nth_id(8, n - 1) end, n, now()
      from generate_series(1, 20000) as n;
insert into assignment (project_id, annotator_id, comparison_id, impression_id, state, expires_at,
                        feedback_id)
    select n % 20 + 1, nth_id(1, n % 997 + 1), nth_id(8, n),
           ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
           case when n % 10 = 0 then 'leased' else 'answered' end, now(),
           ('01900000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid
      from generate_series(1, 20000) as n;
insert into lease_cursor (project_id, annotator_id, priority, queued_xid, comparison_id)
    select n % 20 + 1, nth_id(1, n), 0, n, nth_id(8, n) from generate_series(1, 1000) as n;
insert into snapshot (project_id, id, name, boundary_xid, hash, comparisons, judgments)
    select n % 20 + 1, nth_id(4, n), 'snapshot-' || n, n, '', 0, 0
      from generate_series(1, 1000) as n;
insert into upstream (project_id, id, name, url)
    select n % 50 + 1, nth_id(1, n), 'upstream-' || n, 'demo:' from generate_series(1, 1000) as n;
insert into conversation (project_id, id, surface, end_user_id, confidence)
    select n % 20 + 1, nth_id(2, n), 'gateway', nth_id(3, n % 997), 1
      from generate_series(1, 20000) as n;
insert into turn (project_id, id, conversation_id, parent_id, depth, has_user, messages)
    select n % 20 + 1, nth_id(4, n), nth_id(2, n), case when n % 4 > 0 then nth_id(5, n) end, 1,
           true, '[]' from generate_series(1, 20000) as n;
insert into answer (project_id, id, turn_id, conversation_id, impression_id, model, content, digest,
                    finish, xid)
    select n % 20 + 1, nth_id(5, n), nth_id(4, n), nth_id(2, n), nth_id(6, n), 'model', 'text',
           nth_id(7, n), 'stop', n from generate_series(1, 20000) as n;
insert into arena_round (project_id, id, conversation_id, turn_id, impression_id, models, answer_ids)
    select n % 20 + 1, nth_id(8, n), nth_id(2, n / 2), nth_id(4, n), nth_id(6, n), '{a,b}',
           array[nth_id(5, n), nth_id(5, n + 1)] from generate_series(1, 20000) as n;
insert into session_cursor select n, 19000, nth_id(5, 1) from generate_series(1, 20) as n;
drop function nth_id;
analyze;
