"""The command line. Every command lives in a module of its own under gameserver.cli and is imported when it is run."""

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Final

from gameserver.config import load_settings
from gameserver.errors import GameServerError

EXIT_REFUSED: Final = 2
EXIT_INTERRUPTED: Final = 130

COMMANDS: Final = {
    "up": "start everything on this machine: databases, migrations, nodes",
    "node": "run one node; DATABASE_URL and REDIS_URL say where its databases are",
    "drain": "have a node leave in good order: its battles and players go on elsewhere",
    "migrate": "bring the database up to this version",
    "play": "fight a battle from the terminal",
    "loadtest": "simulate many players and prove that nothing was lost",
    "replay": "show a battle from its journal, step by step",
    "config": "list every setting with its unit, default, value and meaning",
}

OVERRIDES: Final = {"roles": "GAMESERVER_NODE_ROLES", "name": "GAMESERVER_NODE_NAME"}
"""Options that win over a setting, and so obey its rules."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 the command found a fault, 2 it could not be run (and says why)."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command not in ("play", "loadtest"):
        _parser().error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        command = importlib.import_module(f"gameserver.cli.{options.command}")
        code: int = command.run(load_settings(_environment(options)), options)
    except GameServerError as error:
        print(f"gameserver {options.command}: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _environment(options: argparse.Namespace) -> dict[str, str]:
    given = {name: getattr(options, option, None) for option, name in OVERRIDES.items()}
    return {**os.environ, **{name: value for name, value in given.items() if value is not None}}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gameserver", description="A durable server for real-time social games.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # play and loadtest read their own options, --help too.
    parsers = {
        name: commands.add_parser(name, help=text, description=text, add_help=name not in ("play", "loadtest"))
        for name, text in COMMANDS.items()
    }
    for name in ("up", "node", "replay"):
        parsers[name].add_argument("--rules", type=Path, metavar="FILE", help="a Python file with the rules of a mode")
    parsers["up"].add_argument("--nodes", type=_count, default=2, metavar="N", help="how many nodes (default: 2)")
    parsers["up"].add_argument("--reload", action="store_true", help="start the nodes again when a source file changes")
    parsers["node"].add_argument("--roles", help="what it does: any of http,websocket,actors (default: all)")
    parsers["node"].add_argument("--name", help="its name, unique in the cluster (default: the host's)")
    parsers["drain"].add_argument("node", metavar="NODE", help="its name, as GET /admin/nodes shows it")
    parsers["drain"].add_argument("--admin-url", metavar="URL", help="of any node (default: this machine's settings)")
    parsers["replay"].add_argument("battle", metavar="BATTLE", help="the battle's ID")
    parsers["replay"].add_argument("--step", action="store_true", help="wait for Enter after each event")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
