"""Placement: everybody comes to the same result, nobody gets too much, and only what has to move moves."""

import os
import subprocess
import sys
import uuid
from collections import Counter

from gameserver.cluster.placement import place

NODES = ["node-a", "node-b", "node-c"]
PINNED = "cbaabccc"
IDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range(10_000)]


def places(nodes):
    return {actor_id: place(actor_id, nodes) for actor_id in IDS}


def test_the_order_in_which_nodes_are_known_does_not_matter():
    assert places(NODES) == places(NODES[::-1]) == places(set(NODES))


def test_another_process_with_another_hash_seed_places_alike():
    script = (
        "import sys; from gameserver.cluster.placement import place;"
        "print(*(place(line.strip(), {'node-b', 'node-c', 'node-a'}) for line in sys.stdin), sep=',')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    run = subprocess.run(
        [sys.executable, "-c", script],
        input="\n".join(IDS[:200]),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip().split(",") == [place(actor_id, NODES) for actor_id in IDS[:200]]


def test_placement_does_not_change_between_versions_of_the_server():
    assert [place(actor_id, NODES) for actor_id in IDS[:8]] == [f"node-{letter}" for letter in PINNED]


def test_each_of_three_nodes_gets_about_a_third():
    counts = Counter(places(NODES).values())
    assert all(abs(counts[name] - 3_333) < 167 for name in NODES), counts


def test_when_a_node_goes_only_its_actors_move_and_to_both_others():
    before, after = places(NODES), places(["node-a", "node-c"])
    assert all(after[each] == before[each] for each in IDS if before[each] != "node-b")
    moved = Counter(after[each] for each in IDS if before[each] == "node-b")
    assert min(moved.values()) > 0.45 * sum(moved.values())


def test_when_a_node_comes_actors_move_to_it_alone():
    before, after = places(NODES), places([*NODES, "node-d"])
    moved = [each for each in IDS if after[each] != before[each]]
    assert {after[each] for each in moved} == {"node-d"}
    assert abs(len(moved) - 2_500) < 150


def test_without_candidates_there_is_no_place():
    assert place(IDS[0], []) is None


def test_names_and_ids_do_not_run_into_each_other():
    assert place("1x", ["a", "a1"]) == place("1x", ["a1", "a"])
    assert {place(f"{number}", ["a", "a1"]) for number in range(20)} == {"a", "a1"}
