"""What a setting is: a field that knows its unit and its meaning."""

from typing import Any

from attrs import field


def setting(
    default: Any, unit: str, meaning: str, *, alias: str | None = None, secret: bool = False, least: int = 0
) -> Any:
    return field(
        default=default,
        metadata={"unit": unit, "meaning": meaning, "alias": alias, "secret": secret, "least": least},
    )
