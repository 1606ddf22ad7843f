"""What `gameserver up` says once the game is ready: where it is, what to try, where its data and logs are."""

from gameserver.config import Settings


def banner(settings: Settings, *, embedded: bool) -> str:
    http = settings.http.public_url or f"http://{settings.http.host}:{settings.http.port}"
    websocket = settings.websocket.public_url or f"ws://{settings.websocket.host}:{settings.websocket.port}"
    admin = f"http://{settings.admin.host}:{settings.admin.port}"
    folder = settings.node.data_dir.absolute()
    data = (
        f"data       {folder}\nlogs       {folder / 'log'} (of the databases; the node's are here)\n"
        if embedded
        else ""
    )
    return f"""
The game is running.

HTTP       {http}  (its description: {http}/openapi.json)
WebSocket  {websocket}
admin      {admin}
{data}
Try, in another terminal:
  .venv/bin/python -m gameserver play      fight a battle from the terminal
  make load                                2,000 simulated players
  curl {http}/readyz
  curl -X POST {http}/players -H 'Content-Type: application/json' \\
       -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" -d '{{"username": "ada"}}'

Ctrl-C stops everything.
"""
