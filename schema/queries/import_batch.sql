-- lane: bulk
-- Adds a batch of rows: what is there already is left alone, a key that is there with other content
-- is refused. Elements of one kind belong together by position.
-- $1 project id
-- $2 principal id, or null for the command line
-- $3 comparison ids, in the order of the rows
-- $4 digests: identities of the comparisons
-- $5 digests of their contents
-- $6 keys
-- $7 prompt ids
-- $8 rows: the first of their completions, by position
-- $9 rows: the last
-- $10 tags, as text arrays
-- $11 metadata
-- $12 gold
-- $13 priorities
-- $14 true where no text is known: never handed out
-- $15 prompts: ids
-- $16 prompts: messages
-- $17 prompts: groups
-- $18 prompts: split buckets
-- $19 models: ids
-- $20 models: names
-- $21 completions: row, from 1
-- $22 completions: ids
-- $23 completions: prompt ids
-- $24 completions: model ids
-- $25 completions: contents
-- $26 completions: metadata
-- $27 annotators: ids
-- $28 annotators: names
-- $29 judgments: row, from 1
-- $30 judgments: feedback ids
-- $31 judgments: annotator ids
-- $32 judgments: choices
-- $33 judgments: strengths
-- $34 judgments: details
-- $35 judgments: orders shown, as text arrays
-- $36 judgments: durations in milliseconds
-- $37 judgments: sources
-- $38 judgments: times
-- $39 judgments: the account behind a pseudonym; its own answer of that time is not added again
-- index: comparison_digest_unique
-- Result: one row, or none when the principal may not import. raced: send the batch again.
with target as materialized (    -- one import at a time in a project: no deadlocks on unique keys
    select p.id, (settings_full(p.settings) ->> 'overlap')::smallint as overlap, ledger_xid() as xid
      from project p, pg_advisory_xact_lock(hashtext('aileron import'), $1::integer)
     where p.id = $1::integer
       and ($2::uuid is null or exists (select from access a where a.project_id = p.id
                                           and a.principal_id = $2::uuid and a.role >= 'researcher'))),
incoming as materialized (
    select i.* from target,
           unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::integer[],
                  $9::integer[], $10::text[], $11::json[], $12::json[], $13::smallint[],
                  $14::boolean[])
           with ordinality as i (id, digest, content_digest, key, prompt_id, first, last, tags,
                                 metadata, gold, priority, textless, row)),
first as (
    select distinct on (digest) digest, content_digest, id, row from incoming order by digest, row),
decided as materialized (        -- what each row is: there already, new, or in conflict
    select i.row, i.digest, coalesce(c.id, f.id) as comparison_id,
           c.id is null as is_new, c.id is null and f.row = i.row as adds,
           i.content_digest = coalesce(c.content_digest, f.content_digest) as fits
      from incoming i
      join first f on f.digest = i.digest
      left join comparison c on c.project_id = $1::integer and c.digest = i.digest),
judged as materialized (
    select distinct on (j.id) j.*, d.comparison_id, d.digest, d.is_new
      from unnest($29::integer[], $30::uuid[], $31::uuid[], $32::smallint[], $33::smallint[],
                  $34::text[], $35::text[], $36::integer[], $37::text[], $38::timestamptz[],
                  $39::uuid[])
           as j (row, id, annotator_id, choice, strength, detail, shown, duration_ms, source, at,
                 account_id)
      join decided d on d.row = j.row and d.fits
     where j.account_id is null
        or not exists (select from feedback f
                        where f.project_id = $1::integer and f.comparison_id = d.comparison_id
                          and f.annotator_id = j.account_id and f.at = j.at)
     order by j.id, j.row),
own as (                         -- answers moved from another server count; imported ones do not
    select digest, least(count(*), 32767)::smallint as answers
      from judged where source = 'annotate' and is_new group by digest),
added as (
    insert into comparison (project_id, id, digest, content_digest, key, prompt_id, completion_ids,
                            tags, metadata, gold, priority, wanted, taken, answered, created_xid,
                            queued_xid)
    select t.id, i.id, i.digest, i.content_digest, i.key, i.prompt_id,
           ($22::uuid[])[i.first:i.last], i.tags::text[], i.metadata, i.gold, i.priority,
           case when i.textless then 0 else t.overlap end, coalesce(o.answers, 0),
           coalesce(o.answers, 0), t.xid, t.xid
      from target t cross join incoming i
      join decided d on d.row = i.row and d.adds
      left join own o on o.digest = i.digest
     order by i.row
    on conflict do nothing
    returning id, digest),
new_prompts as (
    insert into prompt (project_id, id, messages, group_name, split_bucket)
    select $1::integer, p.*
      from unnest($15::uuid[], $16::json[], $17::text[], $18::smallint[])
           as p (id, messages, group_name, split_bucket)
     where p.id in (select i.prompt_id from incoming i join decided d on d.row = i.row and d.adds)
    on conflict do nothing
    returning id),
new_completions as (
    insert into completion (project_id, id, prompt_id, model_id, content, metadata)
    select $1::integer, c.id, c.prompt_id, c.model_id, c.content, c.metadata
      from unnest($21::integer[], $22::uuid[], $23::uuid[], $24::uuid[], $25::text[], $26::json[])
           as c (row, id, prompt_id, model_id, content, metadata)
      join decided d on d.row = c.row and d.adds
    on conflict do nothing
    returning model_id),
new_models as (
    insert into model (project_id, id, name)
    select $1::integer, m.id, m.name
      from unnest($19::uuid[], $20::text[]) as m (id, name)
     where m.id in (select model_id from new_completions)
       and not exists (select from model o where o.project_id = $1::integer and o.id = m.id)
    on conflict do nothing),
new_annotators as (
    insert into annotator (project_id, id, name)
    select $1::integer, a.id, a.name
      from unnest($27::uuid[], $28::text[]) as a (id, name)
     where a.id in (select annotator_id from judged)
       and not exists (select from annotator o where o.project_id = $1::integer and o.id = a.id)
    on conflict do nothing),
placed as materialized (         -- judgments whose comparison is certain to be there
    select j.*, j.shown::smallint[] as sides from judged j
     where not j.is_new or j.comparison_id in (select id from added)),
shown as (
    insert into impression (project_id, id, surface, annotator_id, comparison_id, shown, policy, at)
    select $1::integer, id, 'import', annotator_id, comparison_id, sides, 'import', at from placed
    on conflict do nothing),
noted as (
    insert into feedback (project_id, id, impression_id, annotator_id, comparison_id, kind, choice,
                          strength, detail, duration_ms, source, xid, at)
    select $1::integer, p.id, p.id, p.annotator_id, p.comparison_id, 'judgment', p.choice,
           p.strength, p.detail::jsonb, p.duration_ms, p.source, t.xid, p.at
      from placed p cross join target t
    on conflict do nothing
    returning id, comparison_id, source),
counted as (
    update comparison c
       set answered = least(c.answered + n.answers, 32767), taken = least(c.taken + n.answers, 32767)
      from (select comparison_id, count(*) as answers from noted where source = 'annotate'
             group by comparison_id) n
     where c.project_id = $1::integer and c.id = n.comparison_id
       and n.comparison_id not in (select id from added))
select (select count(*) from new_prompts) as prompts,
       (select count(*) from new_completions) as completions,
       (select count(*) from added) as comparisons,
       (select count(*) from noted) as judgments,
       (select count(distinct row)
          from (select d.row from decided d join added a on a.id = d.comparison_id where d.adds
                union all
                select j.row from judged j join noted n on n.id = j.id) as adding) as rows_adding,
       (select count(*) from decided where adds) > (select count(*) from added) as raced,
       (select array_agg(row order by row) from decided where not fits) as conflicts
  from target
