"""Crashes are logged with their tracebacks; structlog's default way to show them takes longer than the tests."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(scope="package", autouse=True)
def plain_logs() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.configure(**before)
