"""Names that players give: themselves and their groups."""

from gameserver.errors import Refused


def checked_name(name: str, limit: int) -> str:
    """Raises Refused: name_too_long (or empty), invalid_message for blanks around it or what cannot be printed."""
    if not 1 <= len(name) <= limit:
        raise Refused("name_too_long", f"A name has 1 to {limit} characters.")
    if name != name.strip() or not name.isprintable():
        raise Refused("invalid_message", "A name has no blanks around it, and only characters that can be printed.")
    return name
