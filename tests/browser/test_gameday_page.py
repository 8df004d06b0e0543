"""The report of a whole game day in a real Chromium: it fits, runs nothing, asks for nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from browser.test_report_page import CONTRAST, browser
from controller.documents import changed
from controller.test_report import XSS
from playwright.sync_api import Browser
from support.gamedays import DAY, rig

pytestmark = pytest.mark.browser
__all__ = ["browser"]  # the fixture


async def held(folder: Path) -> str:
    """The page of a day that was held, with hostile words in every place that takes words."""
    async with rig(folder, hold_s=0.2) as made:
        day = await made.started(changed(DAY, "out: [billing]", f"out: [{XSS[0]!r}]"))
        run = (await made.post(day, "go", status=200))["run"]
        await made.until(day, "run.ended")
        for payload in XSS:
            await made.post(day, "notes", {"text": payload}, 201)
            told = {"text": payload, "severity": "high", "owner": payload, "action": payload}
            await made.post(day, "findings", told, 201)
        await made.post(day, "findings/1/retests", {"run": run}, 201)
        await made.post(day, "hypotheses/1", {"result": "broken", "text": "w" * 300}, 201)
        await made.post(day, "finish", status=200)
        return (await made.client.get(f"/v1/gamedays/{day}/report.html")).text


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gameday")
    path = folder / "gameday.html"
    with ThreadPoolExecutor(1) as another:  # the browser's driver keeps a loop in this thread
        path.write_text(another.submit(asyncio.run, held(folder)).result())
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_day_fits_its_screen_and_can_be_read(
    browser: Browser,
    page_file: Path,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in (".badge", ".severity", ".word-no", ".chip-came-back", ".steps .note a"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    assert page.locator(".steps tbody tr").count() == 2
    assert "not run" in page.locator(".steps").inner_text()
    assert page.screenshot(path=page_file.with_name(f"{scheme}-{width}.png"), full_page=True)
    page.close()


def test_the_day_asks_for_nothing_and_runs_nothing(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(page_file.as_uri())
    assert asked == [page_file.as_uri()]
    assert complaints == []
    page.close()
