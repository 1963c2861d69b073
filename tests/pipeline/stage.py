"""What the scenarios play on: a sample site that can be broken, and its readers."""

import pickle
from typing import Any

import pytest

from console.demo.site import pages
from console.demo.site.server import SampleSite
from store.milestones.milestones import Milestones

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


class Dying:
    """The store, of which the second transaction of a look fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[int] = []
        apply = Milestones.apply

        def counting(milestones: Milestones, look_id: int, source: str, entries: Any, **rest: Any) -> Any:
            some = list(entries)
            self.calls.append(len(some))
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return apply(milestones, look_id, source, some, **rest)

        monkeypatch.setattr(Milestones, "apply", counting)
