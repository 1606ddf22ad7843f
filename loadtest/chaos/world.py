"""What the faults strike: the servers, the nodes, and the crowd that plays on them."""

from collections.abc import Sequence

from attrs import frozen

from loadtest.chaos.crowd import Crowd
from loadtest.chaos.nodes import Node
from loadtest.chaos.records import Records
from loadtest.chaos.servers import Servers
from loadtest.meter import Meter


@frozen
class World:
    servers: Servers
    nodes: Sequence[Node]
    records: Records
    crowd: Crowd
    meter: Meter
