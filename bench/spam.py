"""What SpamAssassin says about our mails, of every design and in every language: points, and the rules they hit.

    mails, as they go on the wire ─▶ spamassassin (local rules alone, no network) ─▶ a line a mail

    python -m bench.spam [--keep FOLDER]

Wants Debian's `spamassassin`; without it, says so and measures nothing. `--keep` writes the mails as .eml files.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

from bench.screenshots import NOW, Scenes, corrections, item
from delivery.message.build import Letterhead, MessageTemplate
from milepost.records import IssueItem, Variant
from newsletter.issue.design import FIRST, TODAY
from newsletter.letters import Kind, letter_view
from newsletter.words.languages import CATALOGUES
from pipeline.mail_identity import letterhead

DIGESTS = (1, 5, 30)  # stories
TOKEN = "AQEHbmV3cy5jbG9ja3dvcmsuZXhhbXBsZRD-5XWoXloroIbEe8EuzWw"  # noqa: S105 - of nobody
# A header with each rule and its points; nothing is learnt from a mail, and nothing kept.
_RULES = "add_header all Points _SCORE_ _TESTSSCORES(,)_\nreport_safe 0\nuse_bayes 0\nfold_headers 0\n"


class Verdict(NamedTuple):
    """Of one mail."""

    points: float
    rules: Mapping[str, float]  # without those that cost nothing


def mails(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name, the message as a relay is handed it); `folder` takes a database of the sample site."""
    scenes = Scenes(folder)
    stories = [item(number, record) for number, record in enumerate(scenes.records, 1)]
    many = scenes.forty()[: max(DIGESTS)]
    wrong = corrections(scenes.records)
    for design in (FIRST, TODAY):
        for language in CATALOGUES:
            renderer = scenes.renderer(design=design, language=language)
            issues: list[tuple[str, list[IssueItem]]] = [
                ("instant", stories[:1]), ("correction", wrong[:1]),
                *((f"digest of {count}", (stories if count < max(DIGESTS) else many)[:count]) for count in DIGESTS),
            ]
            for name, items in issues:
                variant = renderer.render(12, "instant" if name == "instant" else "weekly", items, NOW)
                yield f"design {design}, {language}: {name}", _message(scenes, variant)
    yield "design 2, en: a hosted picture", _message(scenes, scenes.hosted())
    for language in CATALOGUES:
        renderer = scenes.renderer(language=language)
        for kind in get_args(Kind):
            view = letter_view(
                kind, cadence="weekly", newsletter=renderer.newsletter, mail=renderer.mail, phrases=renderer.phrases,
                latest="https://news.clockwork.example/issues/11", preferences="/preferences",
            )
            yield f"letter, {language}: {kind}", _message(scenes, renderer.letter(view), letter=kind)


def _message(scenes: Scenes, variant: Variant, letter: Kind | None = None) -> bytes:
    asked = letter is None or letter == "welcome"
    head: Letterhead = replace(
        letterhead(scenes.settings, "news.clockwork.example"), one_click=asked,
        auto_submitted=letter is not None and not asked,
    )
    return MessageTemplate.build(variant, letterhead=head, date=NOW).bytes_for(
        address="reader@readers.example", unsubscribe_url=f"https://news.clockwork.example/u/{TOKEN}",
        message_id="<20261123090000.12.7@clockwork.example>",
    )


def score(messages: Sequence[bytes], folder: Path) -> list[Verdict]:
    """SpamAssassin's verdict on each; they are written to `folder`, where it also keeps what it wants to keep.

    Raises RuntimeError where it is not installed, or says something else than a verdict on each.
    """
    program = shutil.which("spamassassin")
    if program is None:
        raise RuntimeError("spamassassin is not installed; on Debian: apt-get install spamassassin")
    paths = [folder / f"{number:03}.eml" for number in range(1, len(messages) + 1)]
    for path, message in zip(paths, messages, strict=True):
        path.write_bytes(message)
    done = subprocess.run(
        [program, "--local", f"--cf={_RULES}", *map(str, paths)], capture_output=True, check=False,
        env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    found = re.findall(rb"(?m)^X-Spam-Points: (-?[0-9.]+) ?(.*)$", done.stdout)
    if done.returncode != 0 or len(found) != len(paths):
        raise RuntimeError(f"spamassassin told of {len(found)} of {len(paths)} mails: {done.stderr.decode()[:500]}")
    return [Verdict(float(points), dict(_costs(rules.decode("ascii")))) for points, rules in found]


def _costs(told: str) -> Iterator[tuple[str, float]]:
    """The rules that give or take points; some only say that they looked."""
    for name, _, points in (part.partition("=") for part in told.split(",")):
        if points and abs(float(points)) >= 0.01:
            yield name, float(points)


def main() -> None:
    """Measure and print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--keep", type=Path, help="write the mails there")
    keep: Path | None = given.parse_known_args()[0].keep
    with tempfile.TemporaryDirectory() as place:
        made = list(mails(Path(place)))
        folder = keep or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            verdicts = score([message for _, message in made], folder)
        except RuntimeError as error:
            sys.exit(str(error))
    for (name, message), verdict in zip(made, verdicts, strict=True):
        rules = ", ".join(f"{rule} {points:+.2f}" for rule, points in verdict.rules.items())
        print(f"{name:34} {verdict.points:5.1f} points  {len(message) / 1024:6.1f} KiB  {rules or 'no rule'}")


if __name__ == "__main__":
    main()
