-- The snapshot, if any, as the first row, and all journal rows with events after it; in one statement, so that both are
-- of one moment.
WITH latest AS (SELECT seq, rules_version, state FROM snapshots WHERE actor_id = $1)
SELECT true AS is_snapshot, 0::bigint AS first_seq, seq, rules_version, state AS outcomes, ''::bytea AS public, ''::bytea AS private
FROM latest
UNION ALL
SELECT false, first_seq, seq, rules_version, outcomes, public, private
FROM journal
WHERE actor_id = $1 AND seq > coalesce((SELECT seq FROM latest), 0)
ORDER BY is_snapshot DESC, seq
