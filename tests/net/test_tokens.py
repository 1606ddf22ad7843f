"""Tokens prove who is calling, and nothing that was not signed for that passes for one."""

import base64
import json

import jwt
import pytest
from attrs import evolve

from gameserver.errors import Refused
from gameserver.net.tokens import Claims, Tokens, bearer, hashed

TOKENS = Tokens("one secret", 3_600)
CLAIMS = TOKENS.claims("player", "session")


def segment(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def code_of(token: str | None) -> str:
    with pytest.raises(Refused) as caught:
        TOKENS.verify(token)
    return caught.value.code


def test_a_token_gives_back_what_it_was_issued_for() -> None:
    assert TOKENS.verify(TOKENS.issue(CLAIMS)) == CLAIMS


def test_a_token_of_a_node_whose_clock_is_ahead_is_taken() -> None:
    ahead = jwt.encode({"sub": "p", "sid": "s", "exp": CLAIMS.expires_at, "iat": CLAIMS.expires_at}, key(), "HS256")
    assert TOKENS.verify(ahead) == Claims("p", "s", CLAIMS.expires_at)


def test_an_expired_token_says_so() -> None:
    assert code_of(TOKENS.issue(evolve(CLAIMS, expires_at=1))) == "token_expired"


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_says_so(token: str | None) -> None:
    assert code_of(token) == "token_missing"


def test_forged_tokens_open_nothing() -> None:
    token = TOKENS.issue(CLAIMS)
    header, body, signature = token.split(".")
    claims = {"sub": "another", "sid": "session", "exp": CLAIMS.expires_at}
    forged = [
        "nonsense",
        "a.b.c",
        "\udcff",
        f"{header}.{segment(claims)}.{signature}",
        f"{segment({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        Tokens("another secret", 60).issue(CLAIMS),
        jwt.encode(claims, TOKENS.refresh_token("k"), "HS256"),
        jwt.encode({"sub": "p", "exp": CLAIMS.expires_at}, key(), "HS256"),
        jwt.encode({"sub": "p", "sid": "s"}, key(), "HS256"),
        jwt.encode({"sub": "p", "sid": 7, "exp": CLAIMS.expires_at}, key(), "HS256"),
        jwt.encode({"sub": "p", "sid": "s", "exp": "soon"}, key(), "HS256"),
    ]
    assert [code_of(each) for each in forged] == ["token_invalid"] * len(forged)


def test_a_token_that_was_good_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TOKENS.issue(CLAIMS)
    assert TOKENS.verify(token) == CLAIMS
    monkeypatch.setattr("gameserver.net.tokens._now_s", lambda: CLAIMS.expires_at - 1)
    assert TOKENS.verify(token) == CLAIMS
    monkeypatch.setattr("gameserver.net.tokens._now_s", lambda: CLAIMS.expires_at)
    assert code_of(token) == "token_expired"


def test_only_the_tokens_shown_last_are_remembered_and_no_bad_ones() -> None:
    tokens = Tokens("one secret", 60, verified_limit=2)
    for player in ("ann", "bob", "cem", "ann"):
        assert tokens.verify(tokens.issue(tokens.claims(player, "session"))).player_id == player
    assert tokens.verified == 2
    with pytest.raises(Refused):
        Tokens("another secret", 60, verified_limit=2).verify(token := tokens.issue(CLAIMS))
    assert tokens.verified == 2
    assert tokens.verify(token) == CLAIMS


def key() -> bytes:
    return TOKENS._key("access token")


def test_refresh_tokens_are_random_or_follow_from_the_idempotency_key() -> None:
    assert TOKENS.refresh_token(None) != TOKENS.refresh_token(None)
    assert TOKENS.refresh_token("key") == TOKENS.refresh_token("key") != TOKENS.refresh_token("another")
    assert Tokens("another secret", 60).refresh_token("key") != TOKENS.refresh_token("key")
    assert len(hashed("token")) == 32


def test_secrets_do_not_show() -> None:
    assert "one secret" not in repr(TOKENS)


def test_the_authorization_header() -> None:
    assert bearer(None) is None
    assert bearer("bearer  abc ") == "abc"
    with pytest.raises(Refused, match="token_invalid"):
        bearer("Basic abc")
