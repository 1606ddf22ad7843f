"""The opening handshake of the hub; sans-I/O, by wsproto: the request as bytes, and the answer to it."""

import re
from typing import Final

from attrs import frozen
from wsproto import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from gameserver.codec import encode
from gameserver.errors import Refused
from gameserver.net.handshake import Admission, Admit, Opening
from gameserver.net.http import problems

REQUEST_LIMIT_BYTES: Final = 16_384
END: Final = re.compile(rb"\n\r?\n")
WORDLESS: Final = b"content-length: 0\r\n\r\n"
TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n" + WORDLESS


@frozen
class Answered:
    """`admission` is None if the request was not accepted; `refused` then tells whether it was a handshake at all."""

    answer: bytes
    admission: Admission | None = None
    refused: bool = False


def request_end(data: bytes | bytearray) -> int | None:
    """Where the request ends, and frames may follow; None if it has not ended yet."""
    found = END.search(data)
    return None if found is None else found.end()


def answer(request: bytes, admit: Admit) -> Answered:
    """The answer to a whole request. Never raises."""
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(request)
        (asked,) = handshake.events()
        assert isinstance(asked, Request)
        admission = admit(Opening(asked.target, asked.extra_headers, asked.subprotocols))
    except RemoteProtocolError as error:
        return Answered(explained(handshake.send(error.event_hint or RejectConnection())))
    except UnicodeError:  # wsproto trips over a Host that is no text
        return Answered(explained(handshake.send(RejectConnection())))
    except Refused as refused:
        return Answered(_rejection(handshake, refused), refused=True)
    return Answered(handshake.send(AcceptConnection(subprotocol=admission.subprotocol)), admission)


def explained(answer: bytes) -> bytes:
    """The library itself refuses what is no handshake at all, and does so without a word: here is the word."""
    if not answer.endswith(WORDLESS):
        return answer
    refused = Refused("invalid_message", "This is no opening handshake of a WebSocket (RFC 6455).")
    body = encode({**problems.details(refused), "status": int(answer.split()[1])})
    headers = f"content-type: {problems.CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
    return answer.removesuffix(WORDLESS) + headers.encode() + body


def rejection_headers(refused: Refused) -> list[tuple[bytes, bytes]]:
    headers = {**problems.headers(refused), "Content-Type": problems.CONTENT_TYPE, "Connection": "close"}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _rejection(handshake: H11Handshake, refused: Refused) -> bytes:
    body = encode(problems.details(refused))
    headers = [*rejection_headers(refused), (b"Content-Length", str(len(body)).encode())]
    rejected = handshake.send(RejectConnection(status_code=refused.status, headers=headers, has_body=True))
    return rejected + handshake.send(RejectData(data=body, body_finished=True))
