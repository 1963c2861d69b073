"""What flows are told: types whose limits Prefect's forms and its server check before a run begins."""

from typing import Annotated

from pydantic import Field

Config = Annotated[str, Field(min_length=1, title="settings file")]
Keys = Annotated[list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]] | None, Field(title="sources")]
IssueNumber = Annotated[int, Field(ge=1, title="issue")]
LookNumber = Annotated[int, Field(ge=1, title="look")]
ContentHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", title="content hash")]
Why = Annotated[str, Field(min_length=3, max_length=500, title="why")]
