"""Which kinds of actors there are."""

import pytest
from attrs import evolve

from gameserver.actors.kinds import Kinds
from gameserver.errors import ConfigError
from gameserver.game import classic
from gameserver.game.guards import Guards


@pytest.mark.parametrize("name", ["battle:join", "battle:state"])
def test_a_mode_has_no_events_by_the_names_of_what_every_battle_says(name):
    rules = evolve(classic.rules, events={**classic.rules.events, name: classic.Attacked})
    with pytest.raises(ConfigError, match=f"{name} belong"):
        Kinds([rules], Guards())
