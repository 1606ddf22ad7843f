"""What the game allows, in numbers: the limits that keep players from overdoing it. Operators set them (config.py)."""

from attrs import frozen

from gameserver.setting import setting


@frozen
class Guards:
    creation_interval_ms: int = setting(60_000, "ms", "A player creates one battle in this time")
    joins_per_period: int = setting(3, "joins", "Joins of one player within the period", least=1)
    joins_period_ms: int = setting(60_000, "ms", "The period of the join limit", least=1)
    attack_cooldown_ms: int = setting(300_000, "ms", "A group attacks once in this time")
    minimum_duration_ms: int = setting(60_000, "ms", "Nobody finishes a battle by hand before it ran this long")
    pending_expires_ms: int = setting(600_000, "ms", "A battle that nobody begins expires after this", least=1)
    group_members_limit: int = setting(10_000, "players", "Members of one group", least=1)
    battle_players_limit: int = setting(1_000, "players", "Players of one battle", least=2)
    name_limit: int = setting(64, "characters", "Length of a username or a group's name", least=1)
