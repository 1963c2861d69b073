"""What the scenarios play on: a sample site that can be broken, and its readers."""

import pickle

from console.demo.site import pages
from console.demo.site.server import SampleSite

READERS = ("ada@readers.example", "grace@readers.example", "zoe@readers.example")


_BUILT: dict[tuple[str, bytes], dict[str, bytes]] = {}  # the same deploy of the same content is built once a process


class BreakableSite(SampleSite):
    """The sample site, of which single pages can be replaced or taken away, and which can go down."""

    patience_s = 0.005

    def __init__(self) -> None:
        super().__init__()
        self.replaced: dict[str, bytes | None] = {}

    def _built(self, content: pages.Content) -> dict[str, bytes]:
        key = self.build_id, pickle.dumps(content)
        if key not in _BUILT:
            _BUILT[key] = super()._built(content)
        return _BUILT[key].copy()

    def file(self, path: str) -> bytes | None:
        return self.replaced[path] if path in self.replaced else super().file(path)

    def stop(self) -> None:
        self.__exit__(None, None, None)

    def story(self, slug: str) -> str:
        """The HTML of a story as it is served."""
        body = super().file(f"/story/{slug}")
        assert body is not None, f"no story {slug}"
        return body.decode()
