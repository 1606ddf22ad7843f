from gameserver.client.scoreboard import Scoreboard

STATE = {
    "battleId": "b1",
    "mode": "skirmish",
    "play": {"sides": {"attacker": {"health": 100}, "defender": {"health": 200}}},
}


def board():
    board = Scoreboard({"p1": "ada", "p2": "grace"}, me="p1")
    board.start(STATE)
    return board


def line(name, **payload):
    return board().line({"event": name, "payload": payload})


def test_a_hit_shows_what_is_left():
    text = line("battle:attack", playerId="p2", side="attacker", damage=12, health=50, energy=3)
    assert text.startswith("grace hit the attackers for 12")
    assert "[##########..........] 50" in text
    assert "energy" not in text


def test_my_own_hit_shows_my_energy():
    text = line("battle:attack", playerId="p1", side="defender", damage=12, health=1, energy=3)
    assert text.startswith("You hit the defenders")
    assert "[#...................] 1  (energy left: 3)" in text


def test_the_end():
    finished = {"winner": "attacker", "score": 30, "reason": "health", "players": {"p2": 10, "p1": 30}}
    assert line("battle:finished", **finished) == "The attackers win with 30 points (health). You 30, grace 10"
    assert "without a winner" in line("battle:finished", winner=None, reason="expired")


def test_other_modes_and_other_news():
    assert line("battle:dance", battleId="b1", playerId="p1", at=5, steps=3) == "dance: playerId=p1 steps=3"
    assert line("battle:attack", battleId="b1", target="x") == "attack: target=x"
    assert line("leaderboard") is None
    assert Scoreboard({}, "p1").start({"battleId": "b1", "mode": "dance"}) == "Battle b1, mode dance"
