-- Delete up to $1 refresh tokens that have expired.
DELETE FROM refresh_tokens
WHERE id = ANY (ARRAY(SELECT t.id FROM refresh_tokens t WHERE t.expires_at < now() LIMIT $1))
RETURNING 1
