"""What both readers of changelogs share: their settings, and what they may be served as."""

from collections.abc import Mapping
from typing import Self

from extractors.base import takes_markdown
from extractors.clean import NAME_CAP, clean
from extractors.listpage import ListOptions, ListPage


class ChangelogOptions(ListOptions):
    """[sources.options]; `project` stands before the version in titles: "Widget 1.2.0"."""

    path: str = "/CHANGELOG.md"
    project: str = ""


class ReleasePage(ListPage):
    """A page of releases, as Markdown or as HTML."""

    def __init__(self, options: ChangelogOptions | None = None) -> None:
        options = options or ChangelogOptions()
        super().__init__(options)
        self.project = clean(options.project, NAME_CAP)

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(ChangelogOptions.taken(options, cls.name))

    def takes(self, content_type: str, path: str) -> bool:
        return super().takes(content_type, path) or takes_markdown(content_type, path)
