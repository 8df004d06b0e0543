"""report.html in a real Chromium: no script runs, nothing is fetched, it fits every screen and prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from blackstart_controller.report import html
from controller.report_samples import sample_view
from controller.test_report import XSS, poisoned
from playwright.sync_api import Browser, Dialog, sync_playwright

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing; apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.text(sample_view()))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_the_page_fits_its_screen_and_shows_verdict_and_table_first(
    browser: Browser, page_file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "login missed its objective" in page.locator(".word").inner_text()
    box = page.locator(".results tbody tr").first.bounding_box()
    assert box is not None and box["y"] + box["height"] < 800
    assert page.screenshot(path=page_file.with_name(f"{scheme}-{width}.png"), full_page=True)
    page.close()


def test_ink_stands_out_from_paper_in_both_schemes(browser: Browser, page_file: Path) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(page_file.as_uri())
        for selector in (".badge", ".chip-failed-over", ".chip-came-back", ".chip-not-back", ".hypothesis"):
            assert page.evaluate(CONTRAST, selector) >= 4.5, (scheme, selector)
        page.close()


def test_it_prints_on_few_pages_of_paper(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") <= 4
    page.close()


@pytest.mark.parametrize("payload", XSS)
def test_no_payload_runs_a_script_or_asks_for_anything(
    browser: Browser, tmp_path: Path, payload: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.text(poisoned(payload)))
    page = browser.new_page()
    asked: list[str] = []
    dialogs: list[str] = []

    def tell(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", tell)
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert dialogs == []
    assert complaints == []  # the policy had nothing to stop
    page.close()


CONTRAST = """selector => {
  const channel = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const element = document.querySelector(selector);
  let ground = element, back = [0, 0, 0, 0];
  while (ground) {
    back = numbers(getComputedStyle(ground).backgroundColor);
    if (back.length < 4 || back[3] > 0) break;
    ground = ground.parentElement;
  }
  const [a, b] = [light(numbers(getComputedStyle(element).color)), light(back)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""
