-- Conversations that came through the gateway or the chat, as a tree: a retry is a sibling.
--
--   turn (what the person said, and what came before it) ─┬─ answer ── turn ── answer …
--                                                         └─ answer (a retry)
--
-- A turn's id is the hash of the whole chain up to it (keyed by project and end user), so the same
-- messages sent again find their node by primary key. An answer's id is the completion id that the
-- client was given; it carries the time of the request. End users are known by a keyed hash only.

create table upstream (
    project_id  integer not null references project on delete cascade,
    id          uuid not null,
    name        text not null,
    url         text not null,                -- https://host/v1, or demo:
    sealed_key  bytea,                        -- secretbox under the key in the data directory
    models      text[] not null default '{}', -- as clients name them; none: any
    priority    smallint not null default 0,  -- lowest first; the others are fallbacks
    timeout_ms  integer not null default 600000,
    concurrency integer not null default 1024,
    disabled    boolean not null default false,
    created_at  timestamptz not null default now(),
    primary key (project_id, id),
    constraint upstream_name_unique unique (project_id, name),
    constraint upstream_name_valid check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    constraint upstream_url_valid check (url = 'demo:' or (url ~ '^https?://[^[:space:]]+$'
                                                               and length(url) <= 500)),
    constraint upstream_limits_valid check (timeout_ms between 100 and 3600000
                                            and concurrency between 1 and 100000)
);

create table conversation (
    project_id  integer not null,
    id          uuid not null,                -- v7
    surface     text not null,                -- gateway | chat | arena
    end_user_id uuid,                         -- keyed hash, or an account on the chat surface
    named_id    uuid,                         -- keyed hash of the name a client gave it
    key_id      uuid,                         -- the API key it came by
    confidence  real not null,                -- 1: the caller named the user or the conversation
    at          timestamptz not null default now(),
    primary key (project_id, id)
);
create index conversation_user on conversation (project_id, end_user_id, id desc);

create table turn (
    project_id      integer not null,
    id              uuid not null,            -- from the chain's hash
    conversation_id uuid not null,
    parent_id       uuid,                     -- the answer it follows; null: nothing we served
    depth           smallint not null,        -- user messages in the chain
    has_user        boolean not null,         -- false: only tool results
    messages        json not null,            -- since the answer it follows
    at              timestamptz not null default now(),
    primary key (project_id, id)
);
create index turn_parent on turn (project_id, parent_id, at) where parent_id is not null;

create table answer (
    project_id      integer not null,
    id              uuid not null,            -- v7: the completion id, made when the request arrived
    turn_id         uuid not null,
    conversation_id uuid not null,
    impression_id   uuid,                     -- null: never shown by us, an edit of edit_of
    edit_of         uuid,
    model           text not null,            -- as the server that answered names it
    content         text not null,
    message         json,                     -- when it is more than content (tool calls, a refusal)
    digest          uuid not null,            -- of the text as a client would send it back
    finish          text not null,            -- stop | length | tool_calls | … | stopped | broken
    detail          json,                     -- parameters, usage, times
    xid             bigint not null,
    at              timestamptz not null default now(),
    primary key (project_id, id)
);
create index answer_turn on answer (project_id, turn_id, id);
create index answer_conversation on answer (project_id, conversation_id, id);
create index answer_ledger on answer (project_id, xid, id);

-- How far silent conversations have been looked for: every answer before it has been decided.
create table session_cursor (
    project_id integer primary key references project on delete cascade,
    xid        bigint not null,
    answer_id  uuid not null
);
create index answer_edit on answer (project_id, edit_of) where edit_of is not null;
