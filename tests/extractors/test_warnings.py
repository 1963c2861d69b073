"""What libraries think of a page is none of the business of whoever runs a look."""

import subprocess
import sys


def test_a_page_that_declares_itself_xml_warns_nobody() -> None:
    page = '<?xml version="1.0"?><rss><channel><title>Lamps</title></channel></rss>'
    told = subprocess.run([sys.executable, "-c", f"from extractors import dom; dom.whole({page!r})"],
                          capture_output=True, text=True, check=True)
    assert told.stderr == ""
