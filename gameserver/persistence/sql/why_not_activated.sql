-- $1 actor, $2 our node, $3 our incarnation.
SELECT a.set_aside IS NOT NULL AS is_set_aside,
       coalesce((SELECT n.lease_until FROM nodes n WHERE n.name = $2 AND n.incarnation = $3), '-infinity')
           > clock_timestamp() AS have_lease,
       a.owner
FROM actors a
WHERE a.id = $1
