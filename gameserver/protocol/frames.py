"""WebSocket frames from server to client: unmasked, so one encoding serves every receiver (RFC 6455 §5.2)."""


def text_frame(data: bytes) -> bytes:
    """`data`, UTF-8 text, as one final text frame."""
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data
