"""What MJML understands: the published components and attributes, which a template's MJML is checked against."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from lxml import etree


def lint_mjml(source: str) -> list[str]:
    """Findings on MJML that the renderer itself would pass over: unknown components and attributes, two classes."""
    try:
        root = etree.fromstring(source.encode("utf-8"), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        return [f"the MJML is not well-formed: {error.msg}"]
    return [finding for element in root.iter(etree.Element) for finding in _component(element)]


def _component(element: Any) -> Iterator[str]:
    vocabulary = _vocabulary()
    components: Mapping[str, Sequence[str]] = vocabulary["components"]
    name = element.tag
    if name in ("mj-social", "mj-carousel", "mj-accordion", "mj-include"):
        yield f"<{name}> is not for mails that go without scripts, third parties and files"
    elif name not in components:
        if name.startswith("mj"):
            yield f"<{name}> is not an MJML component, so MJML drops it with all that is in it"
        return
    for attribute, value in element.attrib.items():
        if attribute not in (*components[name], *vocabulary["everywhere"]) and name not in ("mj-all", "mj-class"):
            yield f"<{name}> has no attribute {attribute}, so MJML ignores it"
        if attribute == "mj-class" and len(value.split()) > 1:
            yield f"<{name}> has two classes ({value}), of which MJML keeps one"


@cache
def _vocabulary() -> dict[str, Any]:
    """Names of the components and their attributes, as published in the package that the file names."""
    data: dict[str, Any] = json.loads((files("newsletter.issue") / "mjml_components.json").read_text(encoding="utf-8"))
    return data
