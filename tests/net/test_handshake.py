from functools import partial

import pytest

from gameserver.errors import Refused
from gameserver.net.handshake import Admission, Opening, admit
from gameserver.net.tokens import Claims, Tokens

tokens = Tokens("a secret of this test", ttl_s=60)
ME = Claims("ada", "session-1", 4_000_000_000)
TOKEN = tokens.issue(ME)
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())

enter = partial(admit, allowed_origins=("https://game.example",), verify=tokens.verify)


def code_of(opening, **options):
    with pytest.raises(Refused) as caught:
        enter(opening, **options)
    return caught.value.code


@pytest.mark.parametrize("target", ["/", "/ws", "/ws?other=1"])
def test_a_token_in_the_header_admits(target):
    assert enter(Opening(target, [BEARER])) == Admission("ada", "session-1", 4_000_000_000, None, None)


def test_a_token_among_the_subprotocols_admits_and_is_not_echoed():
    admission = enter(Opening("/ws", [], ["gameserver.v1", f"token.{TOKEN}"]))
    assert admission.player_id == "ada"
    assert admission.subprotocol == "gameserver.v1"
    assert enter(Opening("/ws", [], [f"token.{TOKEN}"])).subprotocol is None


@pytest.mark.parametrize("target", ["/other", "/ws/", "/wsx", "//ws/ws", "*"])
def test_other_paths_are_not_found(target):
    assert code_of(Opening(target, [BEARER])) == "not_found"


def test_only_allowed_origins_enter():
    assert enter(Opening("/", [BEARER, (b"origin", b"https://game.example")])).player_id == "ada"
    for origin in (b"https://evil.example", b"https://game.example.evil", b"null", b"", b"\xff"):
        assert code_of(Opening("/", [BEARER, (b"origin", origin)])) == "origin_not_allowed"


def test_a_star_allows_any_origin():
    opening = Opening("/", [BEARER, (b"origin", b"https://anywhere.example")])
    assert enter(opening, allowed_origins=("*",)).player_id == "ada"
    assert code_of(opening, allowed_origins=()) == "origin_not_allowed"


def test_an_instance_of_an_earlier_hello_is_passed_on():
    assert enter(Opening("/ws?instance=1234567890123456", [BEARER])).instance == 1234567890123456


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x", "9007199254740992", "1" * 5_000, "%00", "٣"])
def test_a_wrong_instance_is_refused(text):
    assert code_of(Opening(f"/ws?instance={text}", [BEARER])) == "invalid_message"


def test_missing_forged_and_expired_tokens():
    assert code_of(Opening("/", [])) == "token_missing"
    assert code_of(Opening("/", [], ["gameserver.v1"])) == "token_missing"
    assert code_of(Opening("/", [(b"authorization", b"Basic eA==")])) == "token_invalid"
    assert code_of(Opening("/", [(b"authorization", b"Bearer " + b"x" * 50)])) == "token_invalid"
    assert code_of(Opening("/", [(b"authorization", b"Bearer \xff\xfe")])) == "token_invalid"
    forged = Tokens("another secret", ttl_s=60).issue(ME)
    assert code_of(Opening("/", [], ["gameserver.v1", f"token.{forged}"])) == "token_invalid"
    expired = tokens.issue(Claims("ada", "session-1", 1))
    assert code_of(Opening("/", [(b"authorization", f"Bearer {expired}".encode())])) == "token_expired"
