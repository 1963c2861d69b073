"""How fast a record is read: ours beside lxml.html (the same fields, the tree alone) and trafilatura.

    python -m bench.extract [--rounds 15]

CPU time, interleaved. Reads the captured pages beside the checkout where they are; then the sample site's own pages,
by its extractor and by `generic`, which knows them by a source's options alone.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from operator import truediv
from pathlib import Path
from typing import NamedTuple

import lxml.html

from extractors import registry
from extractors.base import SiteExtractor
from milepost.records import Page

CAPTURED = Path(__file__).resolve().parents[2] / "shared/sites/aitimeline/pages/timeline"
SAMPLE_LINKS = {"category": "/theme/", "era": "/age/"}
Reader = Callable[[Page], object]


class Corpus(NamedTuple):
    """Milestone pages, and what reads them."""

    of: str  # whose pages they are
    site: SiteExtractor
    pages: list[Page]


def corpora() -> list[Corpus]:
    """The captured pages, where they lie beside the checkout, and the sample site's by two extractors."""
    from console.demo.site import pages

    found: list[Corpus] = []
    if CAPTURED.is_dir():
        found.append(Corpus("aitimeline.world", registry.get("aitimeline"), [
            Page(url=f"https://aitimeline.world/timeline/{file.stem}", text=file.read_text(encoding="utf-8"))
            for file in sorted(CAPTURED.glob("*.html"))
        ]))
    built = pages.build(pages.load(), build_id="bench")
    base = "https://clockwork.example"
    shown = [Page(url=base + path, text=body.decode()) for path, body in built.items() if path.startswith("/story/")]
    return [*found, *(Corpus("the sample site", site, shown) for site in (
        registry.get("sample"), registry.get("generic", {"milestones": "/story/", "links": SAMPLE_LINKS}),
    ))]


def lxml_reader(page: Page) -> dict[str, object]:
    """The same fields through lxml.html on the whole page, written as one would write it: one witness, no evidence."""
    root = lxml.html.document_fromstring(page.text)
    record: dict[str, object] = {}
    article = root.find(".//article")
    record["title"] = article.findtext(".//h1")
    for link in article.iterfind("header//a"):
        href = link.get("href") or ""
        for field in ("category", "era", "year"):
            if href.startswith(f"/{field}/"):
                record[field] = href.rpartition("/")[2]
    for node in article.xpath(".//*[@aria-label]"):
        if node.get("aria-label").startswith("Impact"):
            record["impact"] = int(node.get("aria-label").split()[2])
    for heading in root.iter("h2"):
        name = heading.text_content().strip()
        if name in ("What Happened", "Why It Mattered"):
            record[name] = heading.getparent().find("p").text_content().strip()
        elif name in ("Key People", "Organizations"):
            record[name] = [" ".join(item.text_content().split()) for item in heading.getparent().iter("li")]
        elif name == "Tags":
            record[name] = [link.get("href").rpartition("/")[2] for link in heading.getparent().iter("a")]
        elif name == "Related Milestones":
            record[name] = [lxml_card(link) for link in heading.getparent().iter("a")]
    for script in root.iterfind(".//script[@type='application/ld+json']"):
        data = json.loads(script.text)
        if data.get("@type") == "Article":
            record["date"] = data["datePublished"]
            record["image"] = data.get("image")
    return record


def lxml_card(link: lxml.html.HtmlElement) -> dict[str, object]:
    """One related card, with all that a card holds."""
    picture = link.find(".//img")
    time_node = link.find(".//time")
    labels = [" ".join(span.text_content().split()) for span in link.iter("span")]
    classes = [span.get("class") for span in link.iter("span")]
    level = link.xpath(".//*[@aria-label]/@aria-label")
    return {
        "key": link.get("href").rpartition("/")[2],
        "title": link.find(".//h3").text_content().strip(),
        "summary": link.find(".//p").text_content().strip(),
        "date": time_node.get("datetime"),
        "category": labels[0].lower().replace(" ", "-"),
        "people": [name for name, kind in zip(labels[1:], classes[1:], strict=True) if "border" not in kind],
        "organizations": [name for name, kind in zip(labels[1:], classes[1:], strict=True) if "border" in kind],
        "impact": int(level[0].split()[2]) if level else None,
        "image": (picture.get("src"), picture.get("alt")) if picture is not None else None,
    }


def trafilatura_reader() -> Reader | None:
    """trafilatura's plain reading, which knows nothing of milestones; None when it isn't installed."""
    try:
        import trafilatura
    except ImportError:
        return None
    return lambda page: trafilatura.bare_extraction(page.text, with_metadata=True)


def measure(readers: dict[str, Reader], pages: list[Page], rounds: int) -> dict[str, list[float]]:
    """Pages per CPU second of each reader, a figure a round.

    Page by page the readers take turns, so that the machine's moods hit all alike.
    """
    speeds: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(rounds):
        asked = {name: read for name, read in readers.items() if name != "trafilatura" or number < 3}  # slow and steady
        spent = dict.fromkeys(asked, 0.0)
        for page in pages:
            for name, read in asked.items():
                started = time.process_time()
                read(page)
                spent[name] += time.process_time() - started
        for name, seconds in spent.items():
            speeds[name].append(len(pages) / seconds)
    return speeds


def check_yardstick(site: SiteExtractor, pages: list[Page]) -> None:
    """Raises ValueError unless the reader through lxml.html tells of each page what ours tells."""
    texts = {"what_happened": "What Happened", "why_it_mattered": "Why It Mattered"}
    lists = {"people": "Key People", "organizations": "Organizations", "tags": "Tags"}
    for page in pages:
        ours, theirs = site.read(page, source="bench"), lxml_reader(page)
        told = {
            **{name: (getattr(ours, name), theirs.get(name)) for name in ("title", "category", "era", "impact")},
            **{name: (getattr(ours, name), theirs.get(label)) for name, label in texts.items()},
            **{name: (list(getattr(ours, name)), theirs.get(label, [])) for name, label in lists.items()},
            "date": (str(ours.date and ours.date.year), str(theirs["date"])[:4]),
            "image": (ours.image is not None, bool(theirs["image"])),
            "related": ([card.key for card in ours.related],
                        [card["key"] for card in theirs.get("Related Milestones", [])]),  # type: ignore[attr-defined]
        }
        for name, (one, other) in told.items():
            if one != other:
                raise ValueError(f"{page.url}: {name} reads as {one!r} here and as {other!r} there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for corpus in corpora():
        report(corpus, rounds)


def report(corpus: Corpus, rounds: int) -> None:
    """Print one table: pages a second of each reader of a corpus, and ours by theirs."""
    site, pages = corpus.site, corpus.pages
    own = f"extractors.{site.name}"
    readers: dict[str, Reader] = {own: lambda page: site.read(page, source="bench")}
    if site.name == "aitimeline":
        check_yardstick(site, pages)
        readers["lxml.html, same fields"] = lxml_reader
    else:
        readers["lxml.html, tree alone"] = lambda page: lxml.html.document_fromstring(page.text)
    if (trafilatura := trafilatura_reader()) is not None:
        readers["trafilatura"] = trafilatura
    speeds = measure(readers, pages, rounds)
    ratios = {reader: statistics.median(map(truediv, speeds[own], speed)) for reader, speed in speeds.items()}
    size = sum(len(page.text) for page in pages) // len(pages)
    print(f"\n{len(pages)} pages of {corpus.of}, {size:,} characters each\n")
    print(f"{'reader':<26}{'pages/s CPU':>12}{'ours ÷ it':>11}")
    for reader, speed in speeds.items():
        print(f"{reader:<26}{statistics.median(speed):>12,.0f}{ratios[reader]:>11.2f}")


if __name__ == "__main__":
    main()
