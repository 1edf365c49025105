"""The page in a headless Chromium: it draws all blocks and complains of nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium"),
]

WHOLE_PAGE = {"width": 1100, "height": 6000}
SLOW_MACHINE = 120_000
"""Milliseconds; a processor draws what a graphics card does elsewhere."""

DIFFERENT_PIXELS = """
() => [...document.querySelectorAll(".viewer canvas")].map((canvas) => {
  const copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
})
"""


@pytest.fixture(scope="module")
def opened(page_file: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page in a browser without a network, and what the browser complained of."""
    playwright = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM,
            timeout=SLOW_MACHINE,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        page = browser.new_context(offline=True, viewport=WHOLE_PAGE).new_page()
        page.set_default_timeout(SLOW_MACHINE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(page_file.as_uri())
        until(page, "() => document.querySelectorAll('.viewer canvas').length === 3")
        yield page, complaints
        browser.close()


def until(page: Any, condition: str, argument: Any = None) -> None:
    """Waits for a condition; Playwright's own way needs eval, which the page forbids."""
    for _ in range(100):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(200)
    pytest.fail(f"never true: {condition}")


def test_nothing_is_complained_of_and_nothing_requested(
    opened: tuple[Any, list[str]], page_file: Path
) -> None:
    page, complaints = opened
    page.wait_for_timeout(1000)
    data = [text for text in complaints if text != page_file.as_uri() and text != "data:,"]
    assert data == []


def test_charts_are_drawn(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    drawn = page.evaluate(
        "() => [...document.querySelectorAll('.chart')].map((chart) =>"
        " chart.querySelectorAll('svg path, svg circle, svg rect').length)"
    )
    assert len(drawn) == 6
    assert min(drawn) > 1


def test_structures_are_drawn_and_change_with_the_choice(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    until(page, f"() => Math.min(...({DIFFERENT_PIXELS})()) > 50")
    picture = page.locator("[data-draw=structures] .viewer canvas")
    before = picture.evaluate("(canvas) => canvas.toDataURL()")
    page.locator("[data-draw=structures] tbody tr").nth(1).click()
    until(
        page,
        "(before) => document.querySelector('[data-draw=structures] .viewer canvas').toDataURL()"
        " !== before",
        before,
    )


def test_a_frame_and_a_mode_are_chosen(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    page.locator("[data-draw=trajectory] input").evaluate(
        "(input) => { input.value = 20; input.dispatchEvent(new Event('input')); }"
    )
    assert page.locator("[data-draw=trajectory] output").inner_text().endswith(": 10")
    page.locator("[data-draw=modes] tbody tr").nth(4).click()
    assert page.locator("[data-draw=modes] .under").inner_text().startswith("mode 5: 640.0 cm")


def test_a_narrow_window_does_not_scroll_sideways(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
