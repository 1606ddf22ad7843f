"""A battle from the first registration to the leaderboard, as its players, their group and a spectator see it."""

from tests.node.running import NodeThread
from tests.node.world import Witness, against, world_of

FREE = {"creation_interval_ms": 0, "attack_cooldown_ms": 0, "minimum_duration_ms": 0, "joins_period_ms": 1}


async def test_a_battle_from_registration_to_the_leaderboard(node_settings):
    settings = node_settings(guards=FREE)
    with NodeThread(settings) as running:
        async with world_of(running) as world:
            ada, bob, cleo, dan = [await world.person() for _ in range(4)]
            groups = {"attacker": await world.group(ada, cleo), "defender": await world.group(bob)}
            seen = {person.name: Witness() for person in (ada, bob, cleo, dan)}
            async with (
                world.connected(ada, seen[ada.name]) as first,
                world.connected(bob, seen[bob.name]) as second,
                world.connected(cleo, seen[cleo.name]),
                world.connected(dan, seen[dan.name]) as spectator,
            ):
                assert first.hello.player_id == ada.id
                assert first.hello.node == settings.node.name
                assert (await first.ping())["serverTimeMs"] >= first.hello.server_time_ms
                assert (await seen[ada.name].until("leaderboard"))["payload"] == []

                battle = await world.post(ada, "/battles", against(groups))
                battle_id = battle["id"]
                assert battle["state"] == "pending"
                assert battle["websocket_url"] == world.websocket_url
                for witness in (seen[ada.name], seen[bob.name], seen[cleo.name]):
                    created = (await witness.until("battle:created"))["payload"]
                    assert created["battleId"] == battle_id
                    assert created["attacker"], created["defender"] == (groups["attacker"], groups["defender"])

                shown = await spectator.watch(battle_id)
                assert shown["state"]["state"] == "pending"
                joined = await second.join(battle_id)
                begun = await first.begin(battle_id)
                assert begun["seq"] > joined["seq"] > 0
                await first.guard(battle_id)
                struck = await second.attack(battle_id)
                await seen[dan.name].until_seq(battle_id, struck["seq"])
                await first.finish(battle_id)
                ends = [
                    await witness.until("battle:finished")
                    for witness in (seen[ada.name], seen[bob.name], seen[dan.name])
                ]
                assert ends[0] == ends[1] == ends[2]

                journal = list(await world.journal(battle_id))
                played = [event["event"] for event in journal if event["event"] != "battle:settled"]
                assert played == [
                    "battle:created",
                    "battle:join",
                    "battle:join",
                    "battle:begin",
                    "battle:guard",
                    "battle:attack",
                    "battle:stop",
                    "battle:finished",
                ]
                assert "damage" in journal[struck["seq"] - 1]["payload"]
                ends_at = ends[0]["seq"]
                for name, since in ((ada.name, 2), (bob.name, joined["seq"]), (dan.name, shown["seq"] + 1)):
                    got = [
                        e
                        for e in seen[name].battle(battle_id)
                        if e["event"] != "battle:created" and e["seq"] <= ends_at
                    ]
                    assert got == [e for e in journal if since <= e["seq"] <= ends_at], name
                assert seen[cleo.name].battle(battle_id) == seen[cleo.name].of("battle:created")
                assert seen[dan.name].of("battle:created") == []

                score = ends[0]["payload"]["score"]
                winner = ends[0]["payload"]["winnerGroupId"]
                assert winner == groups["defender"]
                assert score == journal[struck["seq"] - 1]["payload"]["damage"]
                place = {
                    "rank": 1,
                    "groupId": winner,
                    "name": (await world.get(ada, f"/groups/{winner}"))["name"],
                    "score": score,
                }
                for witness in seen.values():
                    assert (await witness.until("leaderboard", 2))["payload"] == [place]

            (row,) = await world.get(ada, "/leaderboards?window=24h")
            assert (row["rank"], row["group_id"], row["score"]) == (1, winner, score)
            after = await world.get(bob, f"/battles/{battle_id}")
            assert (after["state"], after["winner_group_id"], after["score"]) == ("finished", winner, score)
            assert [each["id"] for each in (await world.get(bob, "/players/me/battles"))["items"]] == [battle_id]
            assert (await world.get(bob, "/players/me"))["achieved"] == score
            members = (await world.get(ada, f"/battles/{battle_id}/members"))["items"]
            assert {(m["player_id"], m["role"], m["side"]) for m in members} == {
                (ada.id, "initiator", "attacker"),
                (bob.id, "participant", "defender"),
            }
