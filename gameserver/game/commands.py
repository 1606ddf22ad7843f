"""The commands that battles and groups understand in every mode. Facts about other actors come in with the command:
the caller has gathered them, and a little staleness is accepted."""

from attrs import frozen

from gameserver.game.rules import Side

# -- to a battle ----------------------------------------------------------------------------------------------------


@frozen
class CreateBattle:
    """Command: make the battle that a group has committed to. Repeating it changes nothing."""

    battle_id: str
    attacker: str
    defender: str
    mode: str
    initiator: str
    initiator_side: Side


@frozen
class Join:
    """Command. `sides` are those whose group the player belongs to, as the caller found."""

    player_id: str
    sides: tuple[Side, ...]


@frozen
class Begin:
    """Command. `owner` says whether the player owns one of the two groups."""

    player_id: str
    owner: bool = False


@frozen
class Finish:
    """Command. `operator` comes from the admin API and is bound by neither role nor minimum duration."""

    player_id: str | None
    owner: bool = False
    operator: bool = False


# -- to a group -----------------------------------------------------------------------------------------------------


@frozen
class CreateGroup:
    """Make the group, with its creator as owner. Repeating it changes nothing."""

    group_id: str
    name: str
    player_id: str


@frozen
class JoinGroup:
    player_id: str


@frozen
class LeaveGroup:
    player_id: str


@frozen
class IntendBattle:
    """Attack another group. `player_in_defender`, `defender_open` are facts about the other group."""

    battle_id: str
    defender: str
    mode: str
    player_id: str
    player_in_defender: bool
    defender_open: bool


@frozen
class OpenBattle:
    """The group is attacked in this battle. Repeating it changes nothing."""

    battle_id: str


@frozen
class CloseBattle:
    """The battle is over. Repeating it changes nothing."""

    battle_id: str
