"""What happened in a run, line by line: people read it when the run failed; a repetition is compared with it."""

from hashlib import blake2b

import trio
from attrs import Factory, define


@define
class History:
    events: list[tuple[float, str, str]] = Factory(list)
    """Virtual seconds, who, what."""

    def note(self, who: str, what: str) -> None:
        self.events.append((trio.current_time(), who, what))

    def lines(self) -> list[str]:
        return [f"{at:9.3f}  {who:<12} {what}" for at, who, what in self.events]

    def digest(self) -> str:
        return blake2b("\n".join(self.lines()).encode(), digest_size=16).hexdigest()
