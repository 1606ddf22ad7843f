-- $1 now in ms, $2 our node, $3 how many.
SELECT a.id::text
FROM actors a
WHERE a.wake_at_ms <= $1 AND a.set_aside IS NULL
  AND (a.owner IS NULL OR a.owner = $2
       OR coalesce((SELECT n.lease_until FROM nodes n WHERE n.name = a.owner), '-infinity') <= clock_timestamp())
ORDER BY a.wake_at_ms
LIMIT $3
