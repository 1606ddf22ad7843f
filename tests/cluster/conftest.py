"""See tests/plain_logs.py."""

from tests.plain_logs import plain_logs  # noqa: F401
