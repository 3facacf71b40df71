-- Prompts, completions, comparisons; what was shown (impression) and what people did (feedback).
--
-- Every key begins with project_id, so that the tables can be distributed by project. Large texts
-- live in prompt and completion only. Transaction ids (columns *_xid) order the queue and bound
-- snapshots: a value below the snapshot's xmin belongs to a transaction that has ended, so nothing
-- can still slip in below it. They come from ledger_xid(), which adds an offset when the database has
-- been restored into another cluster, where transaction ids start anew (schema_upkeep).

create table ledger_cluster (
    only_row          boolean primary key default true check (only_row),
    system_identifier bigint not null,
    xid_offset        bigint not null
);
insert into ledger_cluster (system_identifier, xid_offset)
    select system_identifier, 0 from pg_control_system();

-- In plpgsql, whose plans are kept for the session: a function in SQL that cannot be inlined is parsed
-- and planned again at every execution, which cost more than the judgment it was part of.
create function ledger_xid() returns bigint language plpgsql stable as $$
begin
    return (select pg_current_xact_id()::text::bigint + xid_offset from ledger_cluster);
end $$;

-- Everything below is settled: committed or gone.
create function ledger_xmin() returns bigint language plpgsql stable as $$
begin
    return (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset
              from ledger_cluster);
end $$;

create table model (
    project_id integer not null references project on delete cascade,
    id         uuid not null,                 -- from the name's hash
    name       text not null,
    primary key (project_id, id),
    constraint model_name_unique unique (project_id, name)
);

-- Content-addressed: the id is a hash of group and messages. messages is the JSON text as imported:
-- a string, or [{"role","content",…},…]; null when only an external key is known (votes).
create table prompt (
    project_id   integer not null,             -- no foreign key: it would cost imports 8 %
    id           uuid not null,
    messages     json,
    group_name   text,
    split_bucket smallint not null,           -- 0..9999 by hash of group, else of the prompt
    primary key (project_id, id),
    constraint prompt_bucket_valid check (split_bucket between 0 and 9999)
);

-- Content-addressed: the id is a hash of prompt, model, content and metadata.
create table completion (
    project_id integer not null,
    id         uuid not null,
    prompt_id  uuid not null,
    model_id   uuid,
    content    text,                          -- null when only the model is known (votes)
    metadata   json,
    primary key (project_id, id),
    constraint completion_content_size check (octet_length(content) <= 1048576)
);

-- 2..9 completions of one prompt, and how many judgments of them are wanted, taken and answered.
-- taken counts open leases and answers; the queue's order is priority, then queued_xid, then id.
create table comparison (
    project_id     integer not null,
    id             uuid not null,             -- v7, in the order of import
    digest         uuid not null,             -- identity: hash of the key, else of the content
    content_digest uuid not null,
    key            text,
    prompt_id      uuid not null,
    completion_ids uuid[] not null,
    tags           text[] not null default '{}',
    metadata       json,
    gold           json,
    priority       smallint not null default 0,
    wanted         smallint not null,
    taken          smallint not null default 0,
    answered       smallint not null default 0,
    created_xid    bigint not null,
    queued_xid     bigint not null,
    created_at     timestamptz not null default now(),
    primary key (project_id, id),
    constraint comparison_digest_unique unique (project_id, digest),
    constraint comparison_completions_valid check (cardinality(completion_ids) between 2 and 9),
    constraint comparison_counts_valid check (wanted >= 0 and taken >= 0 and answered >= 0)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index comparison_open on comparison (project_id, priority desc, queued_xid, id)
    where taken < wanted;

-- An annotator who is known by name only, from an import. Accounts and keys are their own annotators:
-- their id is the principal's.
create table annotator (
    project_id integer not null references project on delete cascade,
    id         uuid not null,                 -- from the name's hash
    name       text not null,
    primary key (project_id, id),
    constraint annotator_name_unique unique (project_id, name)
);

-- Something was shown: to whom, where, which candidates in which order, by which policy.
create table impression (
    project_id    integer not null,
    id            uuid not null,              -- v7; the lease's id on the annotate surface
    surface       text not null,              -- annotate | import | chat | gateway
    annotator_id  uuid,
    comparison_id uuid,
    shown         smallint[],                 -- shown[slot] = index of the completion, from 0
    policy        text not null,
    propensity    real,
    at            timestamptz,
    primary key (project_id, id)
) partition by range (id);

-- The append-only ledger. A correction supersedes; a retraction supersedes with nothing.
create table feedback (
    project_id    integer not null,
    id            uuid not null,              -- v7; carries the time, so partitions keep it unique
    impression_id uuid not null,
    annotator_id  uuid,
    comparison_id uuid,
    kind          text not null,              -- judgment | retraction | skip | implicit acts, later
    choice        smallint,                   -- completion index; -1 tie, -2 both bad, -3 cannot judge
    strength      smallint,
    detail        jsonb,                      -- ranking, criteria, ratings, flags, rationale, edits
    duration_ms   integer,
    source        text not null,              -- annotate | import | implicit:RULE
    supersedes    uuid,
    xid           bigint not null,
    at            timestamptz,
    primary key (project_id, id),
    constraint feedback_choice_valid check (choice between -3 and 8),
    constraint feedback_strength_valid check (strength between 1 and 3),
    constraint feedback_kind_valid check (kind <> 'judgment' or choice is not null
                                          or detail ? 'ranking')
) partition by range (id);
create index feedback_comparison on feedback (project_id, comparison_id, id);
create index feedback_supersedes on feedback (project_id, supersedes) where supersedes is not null;
create index feedback_annotator on feedback (project_id, annotator_id, id);

create trigger feedback_append_only before update or delete on feedback
    for each row execute function refuse_change();
create trigger impression_append_only before update or delete on impression
    for each row execute function refuse_change();

-- One row a (person, comparison), for ever: never the same comparison twice to one person.
-- state: leased -> answered | skipped | expired; expired -> leased (again) | answered (late).
create table assignment (
    project_id    integer not null,
    annotator_id  uuid not null,
    comparison_id uuid not null,
    impression_id uuid not null,              -- of the latest lease
    state         text not null,
    expires_at    timestamptz not null,
    feedback_id   uuid,                       -- the standing judgment
    primary key (project_id, annotator_id, comparison_id),
    constraint assignment_state_valid check (state in ('leased', 'answered', 'skipped', 'expired',
                                                       'retracted'))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index assignment_expiry on assignment (expires_at) where state = 'leased';

-- Where a person's search of the queue may begin: everything before (queued_xid, comparison_id) at
-- that priority has been seen by them or was full, and what frees up later is queued behind.
create table lease_cursor (
    project_id    integer not null,
    annotator_id  uuid not null,
    priority      smallint not null,
    queued_xid    bigint not null,
    comparison_id uuid not null,
    moved_at      timestamptz not null default now(),
    primary key (project_id, annotator_id, priority)
);

-- A frozen dataset: what was committed below the boundary, and its hash.
create table snapshot (
    project_id   integer not null references project on delete cascade,
    id           uuid not null,
    name         text not null,
    boundary_xid bigint not null,
    filters      jsonb not null default '{}',
    hash         bytea not null,              -- BLAKE2b-256 of the `aileron` export
    comparisons  bigint not null,
    judgments    bigint not null,
    created_at   timestamptz not null default now(),
    primary key (project_id, id),
    constraint snapshot_name_unique unique (project_id, name),
    constraint snapshot_name_valid check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$')
);
