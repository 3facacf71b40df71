-- Accounts, sign-in, projects and who may do what in them.
--
-- Secrets are never stored: sessions, links, invites and keys are found by the BLAKE2b hash of their
-- token. A principal is an account or an API key; both are UUIDv7, so their ids never collide.

create table account (
    id            uuid primary key,
    login         text not null,
    name          text not null,
    password_hash text,                       -- Argon2id; null: only one-time links sign in
    is_admin      boolean not null default false,
    is_disabled   boolean not null default false,
    preferences   json not null default '{}',
    created_at    timestamptz not null default now(),
    constraint account_login_unique unique (login),
    constraint account_login_valid check (login ~ '^[a-z0-9][a-z0-9._@-]{1,62}[a-z0-9]$'),
    constraint account_name_valid check (char_length(name) between 1 and 100)
);

create table session (
    token_hash bytea primary key,
    account_id uuid not null references account on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint session_token_valid check (length(token_hash) = 32)
);
create index session_account on session (account_id);

-- A one-time sign-in link.
create table sign_in_link (
    token_hash bytea primary key,
    account_id uuid not null references account on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    constraint sign_in_link_token_valid check (length(token_hash) = 32)
);

create table project (
    id         integer primary key generated always as identity,
    slug       text not null,
    title      text not null,
    settings   jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint project_slug_unique unique (slug),
    constraint project_slug_valid check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    constraint project_title_valid check (char_length(title) between 1 and 200)
);

-- A reporter may only report events: what a key in a public page may do.
create type project_role as enum ('reporter', 'annotator', 'researcher', 'owner');

create table member (
    project_id integer not null references project on delete cascade,
    account_id uuid not null references account on delete cascade,
    role       project_role not null,
    joined_at  timestamptz not null default now(),
    primary key (project_id, account_id)
);
create index member_account on member (account_id, project_id);

create table invite (
    project_id integer not null references project on delete cascade,
    id         uuid not null,
    token_hash bytea not null,
    role       project_role not null,
    name       text not null default '',
    created_by uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    uses_left  integer not null,
    used       integer not null default 0,
    primary key (project_id, id),
    constraint invite_token_valid check (length(token_hash) = 32),
    constraint invite_uses_valid check (uses_left >= 0)
);
create unique index invite_token on invite (token_hash);

create table api_key (
    project_id   integer not null references project on delete cascade,
    id           uuid not null,
    token_hash   bytea not null,
    prefix       text not null,               -- the first characters, to tell keys apart
    role         project_role not null,
    name         text not null default '',
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    primary key (project_id, id),
    constraint api_key_token_valid check (length(token_hash) = 32)
);
create unique index api_key_token on api_key (token_hash);
create index api_key_id on api_key (id);

-- Who may do what: members, keys and the instance's administrators (owners everywhere). Statements
-- join it, so a role that was taken away counts from that moment, whatever a cache believes.
create view access (project_id, principal_id, role) as
    select m.project_id, m.account_id, m.role
      from member m join account a on a.id = m.account_id
     where not a.is_disabled and not a.is_admin
    union all
    select k.project_id, k.id, k.role from api_key k
     where k.revoked_at is null and k.role > 'reporter'
    union all
    select p.id, a.id, 'owner'::project_role from account a cross join project p
     where a.is_admin and not a.is_disabled;

-- What was done to accounts, projects and data. Append-only.
create table audit (
    id         uuid primary key,
    project_id integer,
    actor_id   uuid,                          -- null: the command line
    actor      text not null,
    action     text not null,
    subject    text not null default '',
    detail     jsonb not null default '{}',
    at         timestamptz not null default now()
);
create index audit_project on audit (project_id, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
    -- Erasure of a person's data is the one lawful exception, and says so in its transaction.
    if current_setting('aileron.erasing', true) = 'on' then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

create trigger audit_append_only before update or delete on audit
    for each row execute function refuse_change();
