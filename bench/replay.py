"""Replays a made-up site's history through the real look, beside somebody who compares the bytes of its pages.

    python -m bench.replay [--seed 1]
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tests.pipeline.history import STORIES, history, serving
from tests.pipeline.replaying import Player, settings_for


def main() -> None:
    """Print a line a day, then precision and recall of what was announced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    told = history(parser.parse_known_args()[0].seed)
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        player = Player(settings=settings_for(server, Path(folder)), server=server)
        print(f"{STORIES} stories, {len(told.days)} looks\n")
        print(f"{'what the site did':<44}{'pages with other bytes':>23}{'announced':>11}{'really new':>12}")
        for day in told.days:
            played = player.play(day)
            print(f"{day.name:<44}{played.alarms:>23}{len(played.announced):>11}{len(day.news):>12}")
    announced = Counter(key for played in player.played for key in played.announced)
    right = sum(min(count, 1) for key, count in announced.items() if key in told.added)
    alarms = sum(played.alarms for played in player.played)
    print(f"\nannounced: precision {right / max(announced.total(), 1):.1%}, recall {right / len(told.added):.1%} "
          f"({announced.total()} announcements, {len(told.added)} really new)")
    print(f"comparing bytes: precision {len(told.added) / alarms:.1%} ({alarms} alarms)")


if __name__ == "__main__":
    main()
