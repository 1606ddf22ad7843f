"""gameserver config: every setting, with its unit, its default, the value in force, and its meaning."""

import argparse
import textwrap

from gameserver.config import Settings, describe


def run(settings: Settings, _options: argparse.Namespace) -> int:
    for each in describe(settings):
        print(f"{each.environment_name} ({each.unit})")
        print(textwrap.indent(each.meaning, "    "))
        value = each.value or "(empty)"
        default = each.default or "(empty)"
        print(f"    {value}" if value == default else f"    {value}  (default: {default})")
    return 0
