-- Times are milliseconds since the epoch where a name ends in _ms; they come from events. Other times are PostgreSQL's own.

-- Who may own actors ---------------------------------------------------------------------------------------------

CREATE TABLE nodes (
    name        text PRIMARY KEY,
    incarnation text NOT NULL,
    lease_until timestamptz NOT NULL,
    started_at  timestamptz NOT NULL
);

-- Every commit updates one row per actor: half-empty pages keep these updates on their page, without touching an index.
CREATE TABLE actors (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    mode          text NOT NULL,
    rules_version int NOT NULL,
    seed          text NOT NULL,
    epoch         bigint NOT NULL DEFAULT 0,
    last_seq      bigint NOT NULL DEFAULT 0,
    owner         text,
    wake_at_ms    bigint,
    set_aside     text,
    created_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX actors_to_wake ON actors (wake_at_ms) WHERE wake_at_ms IS NOT NULL AND set_aside IS NULL;

-- The truth: what happened, and what folding it gave ----------------------------------------------------------------

-- A row of usual size is never compressed: that would cost every commit more than it saves.
CREATE TABLE journal (
    actor_id      uuid NOT NULL,
    seq           bigint NOT NULL,
    first_seq     bigint NOT NULL,
    epoch         bigint NOT NULL,
    rules_version int NOT NULL,
    outcomes      bytea NOT NULL,
    public        bytea NOT NULL,
    private       bytea NOT NULL,
    committed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor_id, seq)
) WITH (toast_tuple_target = 8160);
CREATE INDEX journal_by_time ON journal USING brin (committed_at);

CREATE TABLE snapshots (
    actor_id      uuid PRIMARY KEY,
    seq           bigint NOT NULL,
    rules_version int NOT NULL,
    state         bytea NOT NULL,
    taken_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor_id   uuid NOT NULL,
    seq        bigint NOT NULL,
    topic      text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE idempotency_keys (
    player_id    uuid NOT NULL,
    key          text NOT NULL,
    request_hash text NOT NULL,
    actor_id     uuid NOT NULL,
    seq          bigint NOT NULL,
    answer       bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (player_id, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys USING brin (created_at);

-- Players: no actors, plain rows ----------------------------------------------------------------------------------

CREATE TABLE players (
    id                    uuid PRIMARY KEY,
    username              text NOT NULL,
    telegram_id           bigint,
    created_at_ms         bigint NOT NULL,
    creation_key_hash     bytea UNIQUE,
    creation_request_hash text
);
CREATE UNIQUE INDEX players_by_username ON players (lower(username));

CREATE TABLE refresh_tokens (
    id         uuid PRIMARY KEY,
    player_id  uuid NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_by_player ON refresh_tokens (player_id);

CREATE TABLE group_names (
    name        text PRIMARY KEY CHECK (name = lower(name)),
    group_id    uuid NOT NULL,
    reserved_at timestamptz NOT NULL DEFAULT now()
);

-- Projections: whole rows, written by the commit of the one actor that they follow from; `seq` is that actor's -------

CREATE TABLE groups (
    id                uuid PRIMARY KEY,
    name              text NOT NULL,
    owner_id          uuid NOT NULL,
    meta              jsonb NOT NULL,
    members           int NOT NULL,
    closed            bool NOT NULL,
    cooldown_until_ms bigint NOT NULL,
    created_at_ms     bigint NOT NULL,
    seq               bigint NOT NULL
);
CREATE INDEX groups_by_time ON groups (created_at_ms, id);

CREATE TABLE group_members (
    group_id     uuid NOT NULL,
    player_id    uuid NOT NULL,
    role         text NOT NULL,
    joined_at_ms bigint NOT NULL,
    left_at_ms   bigint,
    seq          bigint NOT NULL,
    PRIMARY KEY (group_id, player_id)
);
CREATE INDEX group_members_by_player ON group_members (player_id, group_id) WHERE left_at_ms IS NULL;

CREATE TABLE battles (
    id              uuid PRIMARY KEY,
    group_attacker  uuid NOT NULL,
    group_defender  uuid NOT NULL,
    mode            text NOT NULL,
    state           text NOT NULL,
    initiator_id    uuid NOT NULL,
    winner_group_id uuid,
    score           bigint NOT NULL,
    reason          text,
    created_at_ms   bigint NOT NULL,
    started_at_ms   bigint,
    finished_at_ms  bigint,
    seq             bigint NOT NULL
);
CREATE INDEX battles_by_time ON battles (created_at_ms, id);
CREATE INDEX battles_by_state ON battles (state, created_at_ms, id);
CREATE INDEX battles_by_attacker ON battles (group_attacker, created_at_ms, id);
CREATE INDEX battles_by_defender ON battles (group_defender, created_at_ms, id);

CREATE TABLE battle_members (
    battle_id    uuid NOT NULL,
    player_id    uuid NOT NULL,
    role         text NOT NULL,
    side         text NOT NULL,
    joined_at_ms bigint NOT NULL,
    achieved     bigint,
    seq          bigint NOT NULL,
    PRIMARY KEY (battle_id, player_id)
);
CREATE INDEX battle_members_by_player ON battle_members (player_id, joined_at_ms, battle_id);

CREATE TABLE battle_scores (
    battle_id      uuid PRIMARY KEY,
    group_id       uuid NOT NULL,
    score          bigint NOT NULL,
    finished_at_ms bigint NOT NULL
);
CREATE INDEX battle_scores_by_time ON battle_scores (finished_at_ms);
CREATE INDEX battle_scores_by_group ON battle_scores (group_id);
