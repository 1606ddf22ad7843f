-- What hangs on the entries that land (see commit.sql, into which this goes): whole projection rows, outbox rows, and
-- outcomes of Idempotency-Keys. $10 is a JSON object with a list of rows for each table. A row belongs to the actor that
-- its ID names, and is written if and only if that actor's entry landed.
--
-- A key under which a player asked two actors at once could be written by both: such rows go in key order, so that two
-- commits never wait for each other, and the first outcome stays: the second must not cost an actor its batch.
, groups_written AS (
    INSERT INTO groups
    SELECT r.* FROM jsonb_populate_recordset(null::groups, $10::jsonb -> 'groups') r
    JOIN live ON live.id = r.id
    ON CONFLICT (id) DO UPDATE SET
        (name, owner_id, meta, members, closed, cooldown_until_ms, created_at_ms, seq) =
        (excluded.name, excluded.owner_id, excluded.meta, excluded.members, excluded.closed,
         excluded.cooldown_until_ms, excluded.created_at_ms, excluded.seq)
)
, group_members_written AS (
    INSERT INTO group_members
    SELECT r.* FROM jsonb_populate_recordset(null::group_members, $10::jsonb -> 'group_members') r
    JOIN live ON live.id = r.group_id
    ON CONFLICT (group_id, player_id) DO UPDATE SET
        (role, joined_at_ms, left_at_ms, seq) =
        (excluded.role, excluded.joined_at_ms, excluded.left_at_ms, excluded.seq)
)
, battles_written AS (
    INSERT INTO battles
    SELECT r.* FROM jsonb_populate_recordset(null::battles, $10::jsonb -> 'battles') r
    JOIN live ON live.id = r.id
    ON CONFLICT (id) DO UPDATE SET
        (group_attacker, group_defender, mode, state, initiator_id, winner_group_id, score, reason,
         created_at_ms, started_at_ms, finished_at_ms, seq) =
        (excluded.group_attacker, excluded.group_defender, excluded.mode, excluded.state,
         excluded.initiator_id, excluded.winner_group_id, excluded.score, excluded.reason,
         excluded.created_at_ms, excluded.started_at_ms, excluded.finished_at_ms, excluded.seq)
)
, battle_members_written AS (
    INSERT INTO battle_members
    SELECT r.* FROM jsonb_populate_recordset(null::battle_members, $10::jsonb -> 'battle_members') r
    JOIN live ON live.id = r.battle_id
    ON CONFLICT (battle_id, player_id) DO UPDATE SET
        (role, side, joined_at_ms, achieved, seq) =
        (excluded.role, excluded.side, excluded.joined_at_ms, excluded.achieved, excluded.seq)
)
, battle_scores_written AS (
    INSERT INTO battle_scores
    SELECT r.* FROM jsonb_populate_recordset(null::battle_scores, $10::jsonb -> 'battle_scores') r
    JOIN live ON live.id = r.battle_id
    ON CONFLICT (battle_id) DO UPDATE SET
        (group_id, score, finished_at_ms) =
        (excluded.group_id, excluded.score, excluded.finished_at_ms)
)
, outbox_written AS (
    INSERT INTO outbox (actor_id, seq, topic, payload)
    SELECT r.actor_id, r.seq, r.topic, r.payload
    FROM jsonb_populate_recordset(null::outbox, $10::jsonb -> 'outbox') WITH ORDINALITY r
    JOIN live ON live.id = r.actor_id
    ORDER BY r.ordinality
)
, keys_written AS (
    INSERT INTO idempotency_keys (player_id, key, request_hash, actor_id, seq, answer)
    SELECT r.player_id, r.key, r.request_hash, r.actor_id, r.seq, r.answer
    FROM jsonb_populate_recordset(null::idempotency_keys, $10::jsonb -> 'idempotency_keys') r
    JOIN live ON live.id = r.actor_id
    ORDER BY r.player_id, r.key
    ON CONFLICT (player_id, key) DO NOTHING
)
