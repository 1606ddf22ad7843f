"""What this node says of itself to the others."""

from attrs import define

from gameserver.cluster.lease_keeper import LeaseKeeper
from gameserver.cluster.ports import NodeInfo


@define(eq=False)
class Myself:
    """The URLs are known once the edges are open; `leaving`: it takes neither actors nor players any more."""

    name: str
    roles: tuple[str, ...]
    rules: tuple[str, ...]
    keeper: LeaseKeeper
    http_url: str = ""
    websocket_url: str = ""
    admin_url: str = ""
    leaving: bool = False

    def describe(self) -> NodeInfo:
        incarnation = self.keeper.incarnation
        return NodeInfo(
            name=self.name,
            incarnation=incarnation,
            roles=self.roles,
            owning=bool(incarnation) and "actors" in self.roles and not self.leaving,
            http_url="" if self.leaving else self.http_url,
            websocket_url="" if self.leaving else self.websocket_url,
            admin_url=self.admin_url,
            rules=self.rules,
        )
