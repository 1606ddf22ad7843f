"""The limits of a load test: all that bounds it in time, in number and in memory."""

from typing import Final

GROUP_LEAST: Final = 2
"""Players of one group: one needs a team-mate to cheer for."""

LEAST_ACTION_EVERY_S: Final = 0.05

HTTP_CONNECTIONS: Final = 16
CONNECTING_AT_ONCE: Final = 64

HTTP_DEADLINE_MS: Final = 15_000
COMMAND_DEADLINE_MS: Final = 10_000
CONNECT_DEADLINE_MS: Final = 20_000

TRIES: Final = 8
"""How often one request is repeated under its own key before it counts as failed, with longer and longer pauses."""

COMMAND_TRIES: Final = 40
"""The same for commands, before they count as unanswered. It outlasts the lease of a node that was killed: until then
nobody else may own its battles."""

RETRY_PAUSE_S: Final = 0.5
RECONNECT_PAUSE_MAX_S: Final = 2.0

AWAY_S: Final = 2.0
"""A player who lost the own node looks so often whether it is back."""

PROBE_DEADLINE_S: Final = 1.0

FOLLOWED_WITHIN_S: Final = 5.0
"""A player who joined gets the own joining within this time, or asks for it."""

ROUND_LEAST_S: Final = 15.0
"""No battle of mode skirmish is shorter than this at an action every 4 s; so many rounds have to be prepared for."""

SETS_LIMIT: Final = 10
"""Pairs of groups per ten players. Each attacks once in five minutes, so that these last for any time."""

BATTLE_LIMIT_S: Final = 60.0
"""A battle of mode skirmish ends within 30 s; one that did not by now is reported as unfinished."""

SETTLE_LIMIT_S: Final = 20.0
"""How long the last events may take to come after the last battle."""

QUIET_S: Final = 1.0

LAG_PROBE_S: Final = 0.02
LAG_LIMIT_S: Final = 0.05
CPU_SHARE_LIMIT: Final = 0.9
"""Beyond either of these two the tool itself was the limit, and its latencies say little about the server."""
