"""Leave to open as many files as there are connections."""

import resource
from typing import Final

from gameserver.errors import StartError

FILES_BESIDES: Final = 200


def allow_open_files(connections: int) -> None:
    """Raises StartError if the system has set a lower limit."""
    needed = connections + FILES_BESIDES
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        raise StartError(f"{connections} connections need {needed} open files, and the limit is {most} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if most == resource.RLIM_INFINITY else most, most))
