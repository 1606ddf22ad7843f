-- Raise the epoch and take ownership: $1 actor, $2 our node, $3 our incarnation.
--
-- The UPDATE waits for a statement that holds the row, then looks at the row again. The leases are asked for in scalar
-- subqueries because PostgreSQL evaluates these anew for that second look; a join's row would be the first look's.
UPDATE actors a SET epoch = a.epoch + 1, owner = $2, incarnation = $3
WHERE a.id = $1
  AND a.set_aside IS NULL
  AND (SELECT n.lease_until FROM nodes n WHERE n.name = $2 AND n.incarnation = $3) > clock_timestamp()
  AND (a.owner IS NULL OR a.owner = $2
       OR coalesce((SELECT n.lease_until FROM nodes n WHERE n.name = a.owner AND n.incarnation = a.incarnation),
                   '-infinity') <= clock_timestamp())
RETURNING a.kind, a.mode, a.rules_version, a.seed, a.epoch, a.last_seq
