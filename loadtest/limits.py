"""The limits of a load test: all that bounds it in time, in number and in memory."""

from typing import Final

GROUP_LEAST: Final = 2
"""Players of one group: one needs a team-mate to cheer for."""

LEAST_ACTION_EVERY_S: Final = 0.05

HTTP_CONNECTIONS: Final = 16
CONNECTING_AT_ONCE: Final = 64

HTTP_DEADLINE_MS: Final = 15_000
CONNECT_DEADLINE_MS: Final = 20_000
FIRST_CONNECTION_MS: Final = 120_000
"""Thousands come at once, and wait for their turn."""
TRY_DEADLINE_MS: Final = 5_000
COMMAND_DEADLINE_MS: Final = 40_000
"""For a command with all its repetitions, before it counts as unanswered. It outlasts the lease of a node that was
killed many times over: until then nobody else may own its battles."""

AWAY_LIMIT_MS: Final = 600_000
"""A player who finds no node for this long plays no more."""

TRIES: Final = 8
"""How often one request is repeated under its own key before it counts as failed, with longer and longer pauses."""

RETRY_PAUSE_S: Final = 0.5

HOME_INTERVAL_S: Final = 5.0
"""It is looked so often whether nodes that lost their players are back."""

PROBE_DEADLINE_S: Final = 1.0

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
