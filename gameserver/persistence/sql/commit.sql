-- What one commit writes for many actors, one entry per actor.
--
-- held: an entry holds its actor's row if the row still has the entry's epoch and the seq before its first event. A row
--       that somebody else has locked is being taken, so it counts as taken: SKIP LOCKED, nobody waits. A row that was
--       changed after this statement's snapshot is looked at again by PostgreSQL once it is locked.
-- live: the entries that land. Everything else that is written hangs on these.
WITH batch AS (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[],
                $7::bytea[], $8::bytea[], $9::bytea[])
    WITH ORDINALITY
    AS entry (actor_id, epoch, first_seq, seq, rules_version, wake_at_ms, outcomes, public, private, place)
), held AS (
    SELECT b.place
    FROM batch b
    JOIN actors a ON a.id = b.actor_id AND a.epoch = b.epoch AND a.last_seq = b.first_seq - 1
    FOR NO KEY UPDATE OF a SKIP LOCKED
), live AS (
    UPDATE actors a SET last_seq = b.seq, wake_at_ms = b.wake_at_ms
    FROM batch b JOIN held USING (place)
    WHERE a.id = b.actor_id AND a.epoch = b.epoch AND a.last_seq = b.first_seq - 1
    RETURNING b.place, a.id
), written AS (
    INSERT INTO journal (actor_id, seq, first_seq, epoch, rules_version, outcomes, public, private)
    SELECT b.actor_id, b.seq, b.first_seq, b.epoch, b.rules_version, b.outcomes, b.public, b.private
    FROM batch b JOIN live USING (place)
)
SELECT place FROM live
