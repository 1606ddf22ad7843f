-- An owner is one incarnation of a node: what an earlier process of its name had owned is free, as soon as there is the
-- next one. The index finds the actors with timers whose owner is gone, owner by owner; commits do not touch it.
ALTER TABLE actors ADD COLUMN incarnation text NOT NULL DEFAULT '';
CREATE INDEX actors_by_owner ON actors (owner, incarnation)
    WHERE owner IS NOT NULL AND wake_at_ms IS NOT NULL AND set_aside IS NULL;
