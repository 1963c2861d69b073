"""The API against whoever reads its document and tries everything that it allows, and much that it forbids.

`make chaos` runs it for some minutes; the other tests hold every answer to the document.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.dates import utc_now
from milepost.settings import load
from pipeline.operators import api_tokens
from store.database import connect
from tests.pipeline import prepared
from tests.web.loopback import serving
from web.api.app import BASE, operators_api
from web.writing import Writers

SCHEMATHESIS = importlib.util.find_spec("schemathesis")
# No schema says which cursors and addresses there are; a state may forbid what is sent rightly.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "503"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "415", "422", "429"]
"""


@pytest.mark.chaos
@pytest.mark.timeout(600)  # it takes long on a machine that does much else
@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed")
def test_everything_that_its_document_allows_and_forbids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.api.app.GUESSES_PER_MINUTE", 1_000_000)  # it also shows tokens that are none
    (tmp_path / "milepost.toml").write_text(
        prepared.SETTINGS.format(site="http://127.0.0.1:9", smtp=9), encoding="utf-8"
    )
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    settings = load(tmp_path / "milepost.toml")
    prepared.copy("issue", settings)
    with connect(settings.store.url, wait_seconds=2) as database:
        token, _ = api_tokens.add(database, "tries all", api_tokens.SCOPES, days=1, by="ada", now=utc_now())
        api = operators_api(settings, database, writers=Writers(), now=utc_now, per_minute=1_000_000)
        with serving(api, BASE) as url:
            done = subprocess.run(
                [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run",
                 f"{url}{BASE}/openapi.json", "--header", f"Authorization: Bearer {token}", "--checks", "all",
                 "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--continue-on-failure",
                 "--no-color"],
                cwd=tmp_path, capture_output=True, text=True, timeout=540, check=False,
            )
    assert done.returncode == 0, done.stdout[-6000:]
