-- The arena: at every turn two models answer side by side, unnamed until the conversation is ended.

alter table conversation add column ended_at timestamptz;  -- by the person: nothing is added any more

-- Two answers to one turn, shown beside each other: one impression. Everything is known when the
-- round begins, so that people may vote before the answers are complete.
create table arena_round (
    project_id      integer not null,
    id              uuid not null,            -- v7
    conversation_id uuid not null,
    turn_id         uuid not null,
    impression_id   uuid not null,            -- policy arena-uniform, with its propensity
    models          text[] not null,          -- by slot
    answer_ids      uuid[] not null,          -- by slot; there once the model has answered
    vote_id         uuid,                     -- the vote that stands
    at              timestamptz not null default now(),
    primary key (project_id, id),
    constraint arena_round_slots_valid check (cardinality(models) = 2 and cardinality(answer_ids) = 2)
);
create index arena_round_conversation on arena_round (project_id, conversation_id, id);
