"""The page: every container of every node in a browser, live and as it was, and the commands that its nodes allow.

It is a client of the bus like any other: what it shows it reads with `bridge.client`, what it does it asks for with the login
that it was given. The daemon mounts it into its HTTP server (`serve --http ADDR --page`); `containerd-bridge page` serves it from
any machine.

    door = door_for(token=None, hosts=[], listener=listener)
    async with page(bus, door) as application:
        ...                                         # an ASGI application for `bridge.health.serve`

Nobody gets data without the token (`door`), all browsers share one reading of the bus (`feed`), and no browser can make the page
keep more than a fixed amount for it.
"""

from bridge.page.alone import Alone
from bridge.page.application import Page, page
from bridge.page.door import Door, door_for
from bridge.page.mounted import door_of, mounted

__all__ = ["Alone", "Door", "Page", "door_for", "door_of", "mounted", "page"]
