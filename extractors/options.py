"""The options of extractors that are driven by settings: checked like settings, told in one sentence when wrong."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from extractors.outline import label_of
from milepost.errors import SettingsError
from milepost.fields import FIELDS


class Options(BaseModel):
    """What a source may say to its extractor; a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def taken(cls, options: Mapping[str, object], extractor: str) -> Self:
        """Check `options`; raises SettingsError naming the key and what is allowed."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            raise SettingsError(
                f"the extractor {extractor!r} can't take the option {key!r}: {message}", where="sources.options",
                hint=f"It takes: {', '.join(cls.model_fields)}.",
            ) from None


def labels(given: Mapping[str, str]) -> dict[str, str]:
    """Labels as they are compared, each with its field; raises ValueError for a field that records don't have."""
    for label, field in given.items():
        if field not in FIELDS:
            raise ValueError(f"{label!r} names the field {field!r}; there are {', '.join(FIELDS)}")
    return {label_of(label): field for label, field in given.items()}
