"""100,000 readings by the extractors, the sitemap parser and the address guard each: no crash, no hang over 10 s."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.demo.site import pages

HERE = Path(__file__).parent
SITES = HERE.parent / "sites"
RUNS = int(os.environ.get("FUZZ_RUNS", "100000"))
WAYS = {"extractor": 15}  # five extractors read each input as a page, as a listing and as plain text
ADDRESSES = ("https://a.example/x?y#z", "http://127.1/", "http://[::ffff:10.0.0.1]:8080/", "http://０x7f.1\\@b.example/")

pytestmark = pytest.mark.chaos


def _seeds(target: str) -> list[bytes]:
    if target == "extractor":
        return [path.read_bytes() for path in sorted(SITES.glob("*/*.html"))]
    if target == "sitemaps":
        return [pages.build(pages.load(), build_id="fuzz")["/sitemap.xml"]]
    return [address.encode() for address in ADDRESSES]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("target", "longest"), [("extractor", 16_000), ("sitemaps", 8_000), ("urls", 400)])
def test_no_input_crashes_or_hangs(target: str, longest: int, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="the fuzzer is not installed: pip install '.[chaos]'")
    for number, seed in enumerate(_seeds(target)):
        (tmp_path / f"seed-{number}").write_bytes(seed)
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz_target.py"), target, f"-runs={RUNS // WAYS.get(target, 1)}",
         f"-max_len={longest}", "-timeout=10", "-seed=1", f"-artifact_prefix={tmp_path}/found-", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"\nfuzz {target}: {RUNS} readings, no crash, no hang")  # noqa: T201 (a chaos run reports)
