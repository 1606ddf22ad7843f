"""What `gameserver up` says once the game is ready: where its nodes are, what to try, where its data and logs are."""

from collections.abc import Sequence

from gameserver.config import Settings


def banner(nodes: Sequence[Settings], *, embedded: bool) -> str:
    """`nodes`: the settings of each. Any node will do for anything; the first stands in the examples."""
    rows = [("", "HTTP", "WebSocket", "admin"), *(_addresses(each) for each in nodes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    http, folder = _addresses(nodes[0])[1], nodes[0].node.data_dir.absolute()
    data = f"\ndata  {folder}\nlogs  {folder / 'log'} (of the databases; the nodes' are here)\n" if embedded else ""
    return f"""
The game is running.

{table}
{data}
Try, in another terminal:
  .venv/bin/python -m gameserver play      fight a battle from the terminal
  make load                                2,000 simulated players
  {f"curl {http}/openapi.json":<39}  every operation of the HTTP API
  curl -X POST {http}/players -H 'Content-Type: application/json' \\
       -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" -d '{{"username": "ada"}}'

Ctrl-C stops everything.
"""


def _addresses(settings: Settings) -> tuple[str, str, str, str]:
    """The name of a node, and how its HTTP API, its WebSocket edge and its admin API are reached."""
    http, websocket, admin = settings.http, settings.websocket, settings.admin
    return (
        settings.node.name,
        http.public_url or f"http://{http.host}:{http.port}",
        websocket.public_url or f"ws://{websocket.host}:{websocket.port}",
        f"http://{admin.host}:{admin.port}",
    )
