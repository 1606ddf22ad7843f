-- $1 actor, $2 epoch, $3 seq, $4 rules version, $5 state. Never of events that are not durable yet.
INSERT INTO snapshots (actor_id, seq, rules_version, state)
SELECT a.id, $3, $4, $5 FROM actors a WHERE a.id = $1 AND a.epoch = $2 AND a.last_seq >= $3
ON CONFLICT (actor_id) DO UPDATE
SET seq = excluded.seq, rules_version = excluded.rules_version, state = excluded.state, taken_at = now()
WHERE snapshots.seq < excluded.seq
