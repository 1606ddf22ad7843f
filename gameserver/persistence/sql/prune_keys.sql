-- Delete up to $2 Idempotency-Keys that are older than $1 days.
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT k.ctid FROM idempotency_keys k WHERE k.created_at < now() - make_interval(days => $1) LIMIT $2
))
RETURNING 1
