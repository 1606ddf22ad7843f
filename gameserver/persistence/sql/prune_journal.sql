-- Delete up to $2 journal rows that are older than $1 days and not needed any more to restore their actor.
DELETE FROM journal
WHERE ctid = ANY (ARRAY(
    SELECT j.ctid
    FROM journal j JOIN snapshots s ON s.actor_id = j.actor_id AND j.seq <= s.seq
    WHERE j.committed_at < now() - make_interval(days => $1)
    LIMIT $2
))
RETURNING 1
