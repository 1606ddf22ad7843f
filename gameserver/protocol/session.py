"""One connection's conversation: decodes what a client sends, passes it on, and queues what it shall get.

Sans-I/O and synchronous: the transport calls `on_text`, answers come in through `reply`, and all that was queued leaves
as one write at the next flush (see `Outgoing`). Commands of a mode are not looked into here: their payload stays bytes
until the battle's owner structures it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Literal, Protocol

from attrs import frozen

from gameserver.codec import NOT_PLAIN, encode
from gameserver.config import WebSocketSettings
from gameserver.errors import Refused
from gameserver.ids import PlayerId
from gameserver.protocol.close_codes import CloseCode
from gameserver.protocol.connection import Connection
from gameserver.protocol.envelope import Envelope, battle_of, decode_envelope, number_of, watch_of
from gameserver.protocol.frames import text_frame

WRITES_AT_ONCE: Final = 32
COPIED_BYTES: Final = 16_384
"""What is queued is mostly one thing, or an answer and some events: up to this size it is put together by copying."""

Change = Literal["join", "begin", "finish"]
"""What changes a battle's course: these commands need facts about the player first."""


@frozen
class Identified:
    """Who a connection belongs to, as its handshake has proven. `instance` numbers the client's commands."""

    player_id: PlayerId
    session_id: str
    instance: int


class Gateway(Protocol):
    """What a session can ask for. Each call is answered in time: through what `session.expect` gives, or `refuse`."""

    def now_ms(self) -> int: ...

    def opened(self, session: "Session") -> None:
        """The connection is ready: greet it."""
        ...

    def closed(self, session: "Session") -> None: ...

    def congested(self, session: "Session") -> None:
        """No more events, until it has drained."""
        ...

    def drained(self, session: "Session") -> None: ...

    def play(self, session: "Session", number: int, battle_id: str, event: str, payload: bytes) -> None: ...

    def change(self, session: "Session", number: int, battle_id: str, what: Change) -> None: ...

    def watch(self, session: "Session", number: int, battle_id: str, after: int | None) -> None: ...


class Outgoing:
    """The sessions that have something queued: flushed once per commit, or else once per turn of the event loop.

    Before the first is put among the `touched`, `wake_up` is called. Only `Session.queue` does either: it is too hot
    for a call each time.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.touched: deque[Session] = deque()
        self._wake = wake
        self._held = False

    def wake_up(self) -> None:
        if not self._held:
            self._wake()

    def hold(self) -> None:
        """A commit is about to be queued: what is queued until it is flushed leaves with it."""
        self._held = True

    def flush(self) -> Iterator[None]:
        """All that is queued, a commit's and the rest. A walk that is given up has others called to go on with it."""
        self._held = False
        return self._flush()

    def flush_rest(self) -> Iterator[None]:
        """What is queued outside of a commit; it does not go on while there is one."""
        return self._flush()

    def _flush(self) -> Iterator[None]:
        touched = self.touched
        try:
            while touched and not self._held:
                writes = []
                for _ in range(min(WRITES_AT_ONCE, len(touched))):
                    session = touched.popleft()
                    if session.queued:  # otherwise it has been closed meanwhile
                        writes.append((session.connection, session.queued))
                        session.queued = b""
                if writes:
                    writes[0][0].bulk.send(writes)
                yield
        finally:
            if touched and not self._held:
                self._wake()


class Session:
    """The endpoint of a transport's connection (see protocol/connection.py)."""

    __slots__ = (
        "_allowance",
        "_allowance_at_ms",
        "_gateway",
        "_in_flight",
        "_limits",
        "_outgoing",
        "closed",
        "congested",
        "connection",
        "identified",
        "queued",
        "watching",
    )

    def __init__(
        self,
        identified: Identified,
        connection: Connection,
        gateway: Gateway,
        outgoing: Outgoing,
        limits: WebSocketSettings,
    ) -> None:
        self.identified = identified
        self.connection, self._gateway, self._outgoing, self._limits = connection, gateway, outgoing, limits
        self.queued: bytes | bytearray = b""
        self._in_flight = 0
        self.closed = False
        self.congested = False
        """The client does not keep up: it gets answers, but no events."""
        self._allowance, self._allowance_at_ms = limits.messages_burst * 1000, gateway.now_ms()
        self.watching: dict[str, Any] = {}
        """Battle ID → what the gateway keeps about the watch."""

    # -- the transport's side -------------------------------------------------------------------------------------

    def on_open(self) -> None:
        self._gateway.opened(self)

    def on_text(self, data: bytes) -> None:
        if self._limits.messages_per_second and not self._allowed(data):
            return
        try:
            envelope = decode_envelope(data)
        except Refused as refused:
            self.refuse(number_of(data), refused)
            return
        try:
            self._pass_on(envelope)
        except Refused as refused:
            self.refuse(envelope.id, refused)

    def on_binary(self, _data: bytes) -> None:
        self.close(CloseCode.UNSUPPORTED_DATA)

    def on_congested(self) -> None:
        self.congested = True
        self._gateway.congested(self)

    def on_drained(self) -> None:
        self.congested = False
        self._gateway.drained(self)

    def on_close(self) -> None:
        self.closed = True
        self._gateway.closed(self)

    def _pass_on(self, envelope: Envelope) -> None:
        """Raises Refused; otherwise exactly one answer is on its way."""
        event, number = envelope.event, envelope.id
        if event == "ping":
            self.send_json({"event": "reply", "id": number, "payload": {"serverTimeMs": self._gateway.now_ms()}})
            return
        if not event.startswith("battle:"):
            raise Refused("unknown_event")
        if self._in_flight >= self._limits.in_flight_limit:
            raise Refused("too_many_in_flight")
        if event == "battle:watch":
            battle_id, after = watch_of(envelope.payload)
            self._gateway.watch(self, number, battle_id, after)
        elif event in _CHANGES:
            self._gateway.change(self, number, battle_of(envelope.payload), _CHANGES[event])
        else:
            battle_id = battle_of(envelope.payload, known=self.watching)
            self._gateway.play(self, number, battle_id, event, bytes(envelope.payload))

    def _allowed(self, data: bytes) -> bool:
        """A token bucket in thousandths of a message; one who goes on in spite of refusals is disconnected."""
        now_ms, limits = self._gateway.now_ms(), self._limits
        full = limits.messages_burst * 1000
        earned = max(0, now_ms - self._allowance_at_ms) * limits.messages_per_second
        self._allowance, self._allowance_at_ms = min(full, self._allowance + earned) - 1000, now_ms
        if self._allowance >= 0:
            return True
        if self._allowance < -full:
            self.close(CloseCode.FLOOD)
        else:
            self.refuse(number_of(data), Refused("rate_limited"))
        return False

    # -- the game's side ------------------------------------------------------------------------------------------

    def expect(self, number: int) -> Callable[[Any], None]:
        """A reply that counts as in flight until it is called."""
        self._in_flight += 1
        return partial(self._answered, number)

    def _answered(self, number: int, answer: Any) -> None:
        self._in_flight -= 1
        if isinstance(answer, Exception):
            self.refuse(number, answer)
        elif answer.view is None:
            self.queue(text_frame(b'{"event":"reply","id":%d,"payload":{"seq":%d}}' % (number, answer.seq)))
        else:
            self._show(number, answer)

    def _show(self, number: int, shown: Any) -> None:
        try:
            data = encode({"event": "reply", "id": number, "payload": {"seq": shown.seq, **shown.view}})
        except NOT_PLAIN:
            self.refuse(number, Refused("rules_failed"))
        else:
            self.queue(text_frame(data))

    def refuse(self, number: int | None, error: Exception) -> None:
        refused = error if isinstance(error, Refused) else Refused("internal")
        payload: dict[str, Any] = {
            "code": refused.code,
            "message": refused.message,
            "retryable": refused.retryable,
        }
        if refused.retry_after_ms is not None:
            payload["retryAfterMs"] = refused.retry_after_ms
        if refused.websocket_url:
            payload["websocketUrl"] = refused.websocket_url
        self.send_json({"event": "error", "id": number, "payload": payload})

    def send_json(self, data: Any) -> None:
        self.queue(text_frame(encode(data)))

    def queue(self, frames: bytes) -> None:
        """To be sent with the next flush, after all that was queued before."""
        if not self.queued:
            if not self._outgoing.touched:
                self._outgoing.wake_up()
            self._outgoing.touched.append(self)
        elif len(self.queued) > COPIED_BYTES and type(self.queued) is bytes:
            self.queued = bytearray(self.queued)  # to which more can be added in its place
        self.queued += frames

    def flush(self) -> None:
        """By itself, and at once."""
        if self.queued:
            queued, self.queued = self.queued, b""
            self.connection.send(queued)

    def close(self, code: CloseCode) -> None:
        """What is queued goes out first."""
        self.flush()
        self.connection.close(code)


_CHANGES: Mapping[str, Change] = {"battle:join": "join", "battle:begin": "begin", "battle:finish": "finish"}
