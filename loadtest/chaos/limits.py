"""The limits of a chaos run: all that bounds it in time and in number."""

from typing import Final

PLAYERS_LEAST: Final = 4
"""Of one battle: two groups of two."""

BRIEF_SHARE: Final = 10
"""Of so many battles one is brief: over in seconds and followed by the next, so that scores are proven, too."""

CHILD_ANSWER_DEADLINE_S: Final = 90.0
"""For a server to start, on a busy machine, and recover from its log."""

CHILD_STOP_DEADLINE_S: Final = 30.0
WIPE_DEADLINE_S: Final = 5.0

NODE_START_DEADLINE_S: Final = 60.0
NODE_STOP_DEADLINE_S: Final = 40.0
"""For a drain or an orderly stop; a node has shorter deadlines of its own (`stop_deadline_ms`, `drain_grace_ms`)."""

POLL_S: Final = 0.05
READ_DEADLINE_MS: Final = 2_000
READ_PATIENCE_S: Final = 30.0
"""PostgreSQL may just be starting again when it is asked."""

RECOVERY_DEADLINE_S: Final = 60.0
"""From the end of a fault until all is well again; beyond it the fault was not survived."""

HTTP_CONNECTIONS: Final = 16
HTTP_DEADLINE_MS: Final = 15_000

END_DEADLINE_S: Final = 60.0
"""For the last battles to end and the last events to come."""
