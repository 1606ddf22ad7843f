-- Delete up to $1 nodes that have been gone for a day: under their names nobody will come back.
DELETE FROM nodes
WHERE name = ANY (ARRAY(SELECT n.name FROM nodes n WHERE n.lease_until < now() - interval '1 day' LIMIT $1))
RETURNING 1
