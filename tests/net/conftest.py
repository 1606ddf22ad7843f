from functools import partial

import pytest

from gameserver.net.transports import TRANSPORTS
from tests.net import edge_stage


@pytest.fixture(params=TRANSPORTS)
def serving(request):
    """Opens a stage on each transport in turn: they keep the same promises."""
    return partial(edge_stage.serving, TRANSPORTS[request.param])
