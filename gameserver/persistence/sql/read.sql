-- The rows of actor $1 that hold the events after $2 up to $3; none if the last of them is not there.
SELECT first_seq, seq, rules_version, outcomes, public, private
FROM journal
WHERE actor_id = $1 AND seq > $2
  AND seq <= (SELECT min(seq) FROM journal WHERE actor_id = $1 AND seq >= $3)
ORDER BY seq
