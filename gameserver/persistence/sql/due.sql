-- $1 now in ms, $2 our node, $3 to $5 the kinds, modes and versions of the rules that we know, $6 how many.
--
-- IS TRUE keeps the rules a condition on each row: as a join, PostgreSQL might sort all that is due instead of reading
-- the index of timers in order until there is enough.
SELECT a.id::text AS actor_id, a.wake_at_ms
FROM actors a
WHERE a.wake_at_ms <= $1 AND a.set_aside IS NULL
  AND ((a.kind, a.mode, a.rules_version) IN (SELECT * FROM unnest($3::text[], $4::text[], $5::int[]))) IS TRUE
  AND (a.owner IS NULL OR a.owner = $2
       OR coalesce((SELECT n.lease_until FROM nodes n WHERE n.name = a.owner), '-infinity') <= clock_timestamp())
ORDER BY a.wake_at_ms
LIMIT $6
