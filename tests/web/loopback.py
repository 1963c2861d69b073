"""An application behind a real server on this machine, for as long as a test needs it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, path: str) -> Iterator[str]:
    """The address of a server that has `app` at `path`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        mounted = Starlette(routes=[Mount(path, app=app)])
        server = uvicorn.Server(uvicorn.Config(mounted, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
