-- $1 now in ms, $2 our node, $3 our incarnation, $4 to $6 the kinds, modes and versions of the rules that we know,
-- $7 and $8 the timer and the actor after which to go on, $9 how many.
--
-- owners: who owns actors with timers at all, one probe of the index for each instead of a look at all actors.
-- gone:   those of them whose lease has run out, or who have a later incarnation.
-- IS TRUE keeps the rules a condition on each row: as a join, PostgreSQL might sort all that is due instead of reading
-- the index of timers in order until there is enough.
WITH RECURSIVE owners AS (
    (SELECT a.owner, a.incarnation FROM actors a
     WHERE a.owner IS NOT NULL AND a.wake_at_ms IS NOT NULL AND a.set_aside IS NULL
     ORDER BY a.owner, a.incarnation LIMIT 1)
    UNION ALL
    SELECT following.owner, following.incarnation
    FROM owners o CROSS JOIN LATERAL (
        SELECT a.owner, a.incarnation FROM actors a
        WHERE a.owner IS NOT NULL AND a.wake_at_ms IS NOT NULL AND a.set_aside IS NULL
          AND (a.owner, a.incarnation) > (o.owner, o.incarnation)
        ORDER BY a.owner, a.incarnation LIMIT 1
    ) following
), gone AS (
    SELECT o.owner, o.incarnation FROM owners o
    WHERE NOT EXISTS (SELECT FROM nodes n
                      WHERE n.name = o.owner AND n.incarnation = o.incarnation AND n.lease_until > clock_timestamp())
), due AS (
    SELECT a.* FROM actors a
    WHERE a.wake_at_ms <= $1 AND a.wake_at_ms >= $7 AND a.set_aside IS NULL
      AND (a.owner IS NULL OR (a.owner = $2 AND a.incarnation = $3 AND (a.owner, a.incarnation) NOT IN (TABLE gone)))
      AND ((a.kind, a.mode, a.rules_version) IN (SELECT * FROM unnest($4::text[], $5::text[], $6::int[]))) IS TRUE
      AND (a.wake_at_ms, a.id) > ($7, $8::uuid)
    ORDER BY a.wake_at_ms, a.id
    LIMIT $9
), orphaned AS (
    SELECT a.* FROM gone g JOIN actors a ON a.owner = g.owner AND a.incarnation = g.incarnation
    WHERE a.wake_at_ms IS NOT NULL AND a.set_aside IS NULL
      AND ((a.kind, a.mode, a.rules_version) IN (SELECT * FROM unnest($4::text[], $5::text[], $6::int[]))) IS TRUE
      AND (a.wake_at_ms, a.id) > ($7, $8::uuid)
    ORDER BY a.wake_at_ms, a.id
    LIMIT $9
)
SELECT found.id::text AS actor_id, found.wake_at_ms, found.kind || '/' || found.mode || '/' || found.rules_version AS rules,
       found.owner, found.incarnation
FROM (SELECT * FROM due UNION ALL SELECT * FROM orphaned) found
ORDER BY found.wake_at_ms, found.id
LIMIT $9
