"""Pages load nothing, run nothing but their own scripts, and stay small."""

import base64
import hashlib
import json
from pathlib import Path

from molnet import report
from tests.report.harness import HOSTILE, Page


def test_elements_are_closed_in_order(page: Page) -> None:
    assert page.misplaced == []


def test_nothing_is_loaded(page: Page) -> None:
    loading = {"src", "srcset", "data", "poster", "action", "background", "manifest"}
    for tag, attributes in page.elements:
        assert not loading & attributes.keys(), (tag, attributes)
        if "href" in attributes:
            assert str(attributes["href"]).startswith(("#", "data:")), (tag, attributes)
    style = page.source.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_policy_allows_the_scripts_of_the_page_alone(page: Page) -> None:
    (policy,) = (
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in str(policy)
    assert "unsafe-eval" not in str(policy)
    scripts = page.source.split("<script>")[1:]
    assert len(scripts) == 5
    for script in scripts:
        digest = hashlib.sha256(script.split("</script>")[0].encode()).digest()
        assert f"'sha256-{base64.b64encode(digest).decode()}'" in str(policy)


def test_text_of_users_stays_text(page: Page) -> None:
    assert HOSTILE not in page.source
    assert "<img" not in page.source
    assert page.text.count(HOSTILE) > 8
    assert {tag for tag, _ in page.elements} >= {"figure", "table", "script"}
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    found = [
        json.loads(script) for script in page.scripts if script.startswith("{") and script[1] == '"'
    ]
    assert len(found) == 10
    assert found[0]["series"][HOSTILE] == [3, 2, 1]
    assert found[0]["series"]["b"] == [5, None, 1]


def test_sections_without_blocks_are_left_out(page: Page) -> None:
    assert "nothing here" not in page.text


def test_the_licences_of_the_libraries_are_there(page: Page) -> None:
    for holder in ("University of Pittsburgh", "Observable, Inc.", "Mike Bostock"):
        assert holder in page.text


def test_size(page_file: Path) -> None:
    assert page_file.stat().st_size < 1_500_000


def test_pages_carry_only_what_they_need(tmp_path: Path) -> None:
    path = report.write(
        tmp_path / "report.html", "t", [report.Section("s", [report.Table(["a"], [[1]])])]
    )
    page = Page(path)
    assert path.stat().st_size < 12_000
    assert page.scripts == []
    assert "script-src 'none'" in page.source
    assert list(tmp_path.iterdir()) == [path]
