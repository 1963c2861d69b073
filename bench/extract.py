"""How fast a record is read: ours beside lxml.html reading the same fields, and trafilatura; CPU time, interleaved.

    python -m bench.extract [--rounds 15]

Reads the captured pages beside the checkout where they are, else the sample site's own pages.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import lxml.html

from extractors import registry
from milepost.records import Page

CAPTURED = Path(__file__).resolve().parents[2] / "shared/sites/aitimeline/pages/timeline"
Reader = Callable[[Page], object]


def captured() -> tuple[str, list[Page]]:
    """(extractor's name, milestone pages)"""
    if CAPTURED.is_dir():
        return "aitimeline", [
            Page(url=f"https://aitimeline.world/timeline/{file.stem}", text=file.read_text(encoding="utf-8"))
            for file in sorted(CAPTURED.glob("*.html"))
        ]
    from milepost.sample import pages

    built = pages.build(pages.load(), build_id="bench")
    base = "https://clockwork.example"
    return "sample", [
        Page(url=base + path, text=body.decode()) for path, body in built.items() if path.startswith("/story/")
    ]


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


def measure(readers: dict[str, Reader], pages: list[Page], rounds: int) -> dict[str, float]:
    """Median pages per CPU second of each reader; rounds are interleaved so that the machine's moods hit all alike."""
    speeds: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(rounds):
        for name, read in readers.items():
            if name == "trafilatura" and number > 2:
                continue  # slow, and steady
            started = time.process_time()
            for page in pages:
                read(page)
            speeds[name].append(len(pages) / (time.process_time() - started))
    return {name: statistics.median(measured) for name, measured in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    name, pages = captured()
    site = registry.get(name)
    readers: dict[str, Reader] = {f"extractors.{name}": lambda page: site.read(page, source="bench")}
    if name == "aitimeline":
        readers["lxml.html, same fields"] = lxml_reader
    if (trafilatura := trafilatura_reader()) is not None:
        readers["trafilatura"] = trafilatura
    speeds = measure(readers, pages, rounds)
    ours = speeds[f"extractors.{name}"]
    print(f"{len(pages)} pages of {name}, {sum(len(page.text) for page in pages) // len(pages):,} characters each\n")
    print(f"{'reader':<26}{'pages/s CPU':>12}{'ours ÷ it':>11}")
    for reader, speed in speeds.items():
        print(f"{reader:<26}{speed:>12,.0f}{ours / speed:>11.2f}")


if __name__ == "__main__":
    main()
