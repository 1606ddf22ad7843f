"""What a node gets from a tool that starts it."""

import socket
from pathlib import Path

import pytest

from loadtest.node_environment import free_ports, node_environment

LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_node_of_a_tool_has_its_settings_and_none_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMESERVER_POSTGRES_URL", "postgresql://elsewhere/")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("LANG", "C")
    environment = node_environment("one", [1, 2, 3], "postgresql://here/", "redis://here/", tmp_path, "a token")
    assert environment["DATABASE_URL"] == "postgresql://here/"
    assert environment["GAMESERVER_HTTP_PORT"] == "1"
    assert environment["LANG"] == "C"
    assert environment.keys().isdisjoint({"GAMESERVER_POSTGRES_URL", "PORT"})


def test_no_outgoing_connection_can_take_the_port_of_a_node_that_is_down() -> None:
    ports, first_outgoing = free_ports(3), int(LOCAL_PORTS.read_text().split()[0])
    assert len(set(ports)) == 3
    assert max(ports) < first_outgoing
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
