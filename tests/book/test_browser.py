"""The built book in a browser: tabs, formulas, search, small screens, nothing from outside.

Needs Chromium and its driver. Without them the tests are skipped, except where the environment
variable CI is `true`: there they fail.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from book_support import LABORATORIES, LESSONS, PAGES, ROOT
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
AXE_CORE = ROOT / "_build" / "axe-core" / "axe.min.js"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1300, 900), (390, 844)
MAX_BYTES = 1_500_000

MATHS_IS_READY = """
const MathJax = window.MathJax;
if (!document.querySelector('article .math')) return true;
return Boolean(MathJax && MathJax.startup && document.querySelector('mjx-container'));
"""

# A flowchart hides the tabs of the recipes that are not chosen.
STATE_OF_TABS = """
const labels = document.querySelectorAll('.sd-tab-set > label[data-sync-group="framework"]');
return [...labels].filter(label => label.checkVisibility()).map(
  label => ({
    framework: label.dataset.syncId,
    checked: document.getElementById(label.htmlFor).checked,
    shown: label.nextElementSibling.checkVisibility(),
  }));
"""

BEFORE_THE_TABS = """
const sets = [...document.querySelectorAll('.sd-tab-set')].filter(set => set.checkVisibility());
const above = sets[0].previousElementSibling;
above.tabIndex = -1;  // a place to start from, that the Tab key itself does not visit
above.focus();
"""

# Docutils gives the entries of a bibliography roles that axe no longer knows.
AXE = """
const done = arguments[0];
axe.run({exclude: ['.citation-list']}, {runOnly: ['wcag2a', 'wcag2aa']}).then(result => done(
  result.violations.map(v => `${v.id}: ${v.nodes.map(node => node.target).join(', ')}`)));
"""

SEARCH = ".search-button__button, form.bd-search"

LAID_OUT = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]));"

# A moving figure in a tenth of its time.
HURRY = "const slow = setInterval; window.setInterval = (step, wait) => slow(step, wait / 10);"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line of log per request."""

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@dataclass
class Visit:
    """An open page, and what the browser noted while it loaded it with an empty cache."""

    page: str
    browser: webdriver.Chrome
    errors: list[str]
    requests: dict[str, str]  # URL by request id
    sizes: dict[str, float]  # transferred bytes by request id

    def outside(self, address: str) -> list[str]:
        """Return the requests that went elsewhere than to `address`."""
        inside = urlsplit(address).netloc
        urls = [url for url in self.requests.values() if not url.startswith(("data:", "blob:"))]
        return [url for url in urls if urlsplit(url).netloc != inside]

    def bytes_without_mathjax(self) -> float:
        """Return the transferred bytes, MathJax and its fonts left out."""
        mathjax = "/_static/mathjax/"
        return sum(
            self.sizes.get(key, 0) for key, url in self.requests.items() if mathjax not in url
        )


@pytest.fixture(scope="module")
def address(built_book, tmp_path_factory) -> Iterator[str]:
    """Serve a copy of the book, which a build running beside cannot change; return its URL."""
    folder = tmp_path_factory.mktemp("served") / "html"
    shutil.copytree(built_book, folder)
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Start Chromium with an empty profile."""
    missing = [str(path) for path in (CHROMIUM, CHROMEDRIVER) if not path.exists()]
    if missing:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"the browser tests need {' and '.join(missing)}")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        yield driver
        driver.quit()


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens a page at a screen size, with nothing remembered."""

    def open_page(page: str, size: tuple[int, int] = DESKTOP) -> webdriver.Chrome:
        set_screen(browser, size)
        forget_choices(browser, address)
        browser.get(f"{address}/{page}.html")
        wait_for_maths(browser)
        return browser

    return open_page


@pytest.fixture(scope="module", params=[*PAGES, "search"])
def visit(request, browser, address) -> Visit:
    """Load a page with an empty cache and return it.

    The tests of all pages share it, one page after the other, and leave it as they found it.
    """
    set_screen(browser, DESKTOP)
    forget_choices(browser, address)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forget what earlier pages left
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.get(f"{address}/{request.param}.html")
    wait_for_maths(browser)
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
    errors = [
        entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"
    ]
    visit = Visit(request.param, browser, errors, {}, {})
    for entry in browser.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        details = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            visit.requests[details["requestId"]] = details["request"]["url"]
        elif event["method"] == "Network.loadingFinished":
            visit.sizes[details["requestId"]] = details["encodedDataLength"]
    return visit


def set_screen(browser: webdriver.Chrome, size: tuple[int, int]) -> None:
    """Give the page a screen of `size` (width, height) in CSS pixels."""
    screen = {
        "width": size[0],
        "height": size[1],
        "deviceScaleFactor": 1,
        "mobile": False,
    }
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_async_script(LAID_OUT)


def forget_choices(browser: webdriver.Chrome, address: str) -> None:
    """Clear what the pages have stored: the framework, and the light or dark mode."""
    stored = {"origin": address, "storageTypes": "local_storage"}
    browser.execute_cdp_cmd("Storage.clearDataForOrigin", stored)


def wait_for_maths(browser: webdriver.Chrome) -> None:
    """Wait until MathJax has set the formulas of the page, if it has any."""
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script(MATHS_IS_READY))
    browser.execute_async_script(
        "const done = arguments[0];"
        "const maths = window.MathJax && window.MathJax.startup;"
        "(maths ? maths.promise : Promise.resolve()).then(() => done());"
    )


def chosen_everywhere(browser: webdriver.Chrome, framework: str) -> bool:
    """Return whether every tab set of the page shows `framework` and nothing else."""
    state = browser.execute_script(STATE_OF_TABS)
    assert state, "the page has no framework tabs"
    return all(tab["checked"] == tab["shown"] == (tab["framework"] == framework) for tab in state)


def choose(browser: webdriver.Chrome, framework: str) -> None:
    """Click the first tab of `framework`."""
    label = displayed(browser, f'.sd-tab-set > label[data-sync-id="{framework}"]')[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", label)
    label.click()


def displayed(browser: webdriver.Chrome, selector: str) -> list:
    """Return the elements that match `selector` and that a reader can see."""
    return [
        node for node in browser.find_elements(By.CSS_SELECTOR, selector) if node.is_displayed()
    ]


# --- Each page, loaded once ----------------------------------------------------------------


def test_no_error_in_the_console(visit):
    assert visit.errors == []


def test_nothing_comes_from_outside(visit, address):
    assert visit.requests
    assert visit.outside(address) == []


def test_a_page_is_light(visit):
    assert 0 < visit.bytes_without_mathjax() <= MAX_BYTES


def test_maths_is_typeset(visit):
    formulas = visit.browser.find_elements(By.CSS_SELECTOR, "article .math")
    typeset = visit.browser.find_elements(By.CSS_SELECTOR, "article .math mjx-container")
    assert len(typeset) == len(formulas)
    assert visit.browser.find_elements(By.CSS_SELECTOR, "mjx-merror, [data-mjx-error]") == []


def test_one_way_to_search_and_one_title(visit):
    ways = (1, 2) if visit.page == "search" else (1,)  # that page has a field of its own
    for size in (PHONE, DESKTOP):
        set_screen(visit.browser, size)
        WebDriverWait(visit.browser, 10).until(
            lambda browser: len(displayed(browser, SEARCH)) in ways, f"{size}: not {ways} to search"
        )
        assert len(displayed(visit.browser, "h1")) == 1


def test_a_phone_needs_no_sideways_scrolling(visit):
    set_screen(visit.browser, PHONE)
    width = visit.browser.execute_script("return document.documentElement.scrollWidth")
    visit.browser.execute_script("window.scrollTo(500, 0)")
    scrolled = visit.browser.execute_script("return window.scrollX")
    set_screen(visit.browser, DESKTOP)
    assert width <= PHONE[0]
    assert scrolled == 0


def test_code_can_be_copied_but_output_not(visit):
    count = functools.partial(visit.browser.find_elements, By.CSS_SELECTOR)
    blocks = count("div.highlight pre")
    outputs = count(".cell_output div.highlight pre")
    assert len(count("button.copybtn")) == len(blocks) - len(outputs)
    assert count(".cell_output button.copybtn") == []


def test_the_source_can_be_downloaded(visit, built_book, address):
    links = visit.browser.find_elements(By.CSS_SELECTOR, "a.btn-download-source-button")
    paths = [link.get_attribute("href").removeprefix(f"{address}/") for link in links]
    sources = [f"{visit.page}.{kind}" for kind in ("ipynb", "md")]
    assert paths == [f"_sources/{source}" for source in sources if (ROOT / source).exists()]
    assert all((built_book / path).is_file() for path in paths)


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core, which `make test` fetches with npm."""
    if not AXE_CORE.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{AXE_CORE.relative_to(ROOT)} is missing: `make test` fetches it with npm")
    return AXE_CORE.read_text()


def test_a_page_is_accessible(visit, axe):
    """axe-core finds no violation of WCAG, levels A and AA: contrast, names, roles, order."""
    visit.browser.execute_script(axe)
    found = {}
    for theme in ("dark", "light"):
        visit.browser.execute_script(
            "document.documentElement.dataset.theme = arguments[0];"
            "for (const fade of document.getAnimations()) fade.finish();",
            theme,
        )
        found[theme] = visit.browser.execute_async_script(AXE)
    assert found == {"light": [], "dark": []}


# --- Single pages --------------------------------------------------------------------------


def test_dark_mode(open_page):
    browser = open_page(LESSONS[0])
    button = displayed(browser, ".theme-switch-button")[0]
    themes = []
    for _ in range(3):  # the button goes round light, dark and the system's setting
        button.click()
        themes.append(browser.execute_script("return document.documentElement.dataset.theme"))
    assert {"light", "dark"} <= set(themes)


# --- Framework tabs ------------------------------------------------------------------------


@pytest.mark.parametrize("page", LESSONS)
def test_one_click_switches_every_pair_and_the_next_page(open_page, address, page):
    browser = open_page(page)
    assert chosen_everywhere(browser, "keras")
    choose(browser, "torch")
    assert chosen_everywhere(browser, "torch")
    other = LESSONS[LESSONS.index(page) - 1]
    browser.get(f"{address}/{other}.html")
    assert chosen_everywhere(browser, "torch")
    choose(browser, "keras")
    assert chosen_everywhere(browser, "keras")


@pytest.mark.parametrize("page", LESSONS)
def test_the_keyboard_alone_can_choose(open_page, page):
    browser = open_page(page)
    browser.execute_script(BEFORE_THE_TABS)
    for _ in range(50):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        if focused.get_attribute("type") == "radio":
            break
    assert focused.get_attribute("type") == "radio", "the Tab key never reached a tab set"
    focused.send_keys(Keys.ARROW_RIGHT)
    assert chosen_everywhere(browser, "torch")
    outline = browser.execute_script(
        "return getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    )
    assert outline == "solid"
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert chosen_everywhere(browser, "keras")


# --- Moving figures ------------------------------------------------------------------------


MOVING = [
    page for page in (*LESSONS, *LABORATORIES) if "moving(" in (ROOT / f"{page}.ipynb").read_text()
]


@pytest.mark.parametrize("page", MOVING)
def test_a_moving_figure_plays_pauses_and_stands_still(open_page, page):
    """It waits at its first frame: a later one would give the answer away."""
    browser = open_page(page)
    (figure,) = browser.find_elements(By.CSS_SELECTOR, "figure.moving")
    button, slider, picture = (
        figure.find_element(By.TAG_NAME, tag) for tag in ("button", "input", "img")
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    assert slider.get_attribute("value") == "0"
    first = picture.get_attribute("src")
    slider.send_keys(Keys.END)
    assert picture.get_attribute("src") != first
    slider.send_keys(Keys.HOME)
    assert picture.get_attribute("src") == first

    button.click()
    assert button.text == "Pause"
    WebDriverWait(browser, 20, 0.05).until(lambda _: int(slider.get_attribute("value")) >= 2)
    button.click()
    assert button.text == "Play"
    stopped = slider.get_attribute("value")
    assert picture.get_attribute("src") != first
    time.sleep(0.4)  # longer than two frames
    assert slider.get_attribute("value") == stopped

    slider.send_keys(Keys.END)
    browser.execute_script(HURRY)
    button.click()  # from the end it starts again
    assert int(slider.get_attribute("value")) < int(slider.get_attribute("max"))
    WebDriverWait(browser, 20, 0.05).until(lambda _: button.text == "Play")
    assert slider.get_attribute("value") == slider.get_attribute("max")


def test_a_moving_figure_shows_its_still_on_paper(open_page):
    browser = open_page(MOVING[0])
    picture = browser.find_element(By.CSS_SELECTOR, ".moving img")
    slider = browser.find_element(By.CSS_SELECTOR, ".moving input")
    seen = {}
    for event in ("load", "beforeprint", "afterprint"):
        browser.execute_script("dispatchEvent(new Event(arguments[0]))", event)
        seen[event] = picture.get_attribute("src")
    slider.send_keys(Keys.END)
    assert seen["load"] == seen["afterprint"]
    assert seen["beforeprint"] == picture.get_attribute(
        "src"
    )  # the last frame, where none is named


def test_a_moving_figure_respects_paper_and_reduced_motion(open_page):
    browser = open_page(MOVING[0])
    shown = {}
    wanted = {
        "screen": {},
        "still": {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]},
        "paper": {"media": "print"},
    }
    for name, settings in wanted.items():
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", settings)
        shown[name] = [bool(displayed(browser, f".moving {t}")) for t in ("img", "input", "button")]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert shown == {
        "screen": [True, True, True],
        "still": [True, True, False],
        "paper": [True, False, False],
    }


# --- Flowcharts ----------------------------------------------------------------------------


FLOWCHARTS = [page for page in LESSONS if "```{flowchart}" in (ROOT / f"{page}.ipynb").read_text()]
flowcharts = pytest.mark.parametrize("page", FLOWCHARTS)

RECIPES = """
return [...document.querySelectorAll('.flowchart .consequence > .sd-tab-set')].map(
  set => set.checkVisibility());
"""

WIDTHS = "return [document.documentElement.scrollWidth, innerWidth];"


def answers(browser: webdriver.Chrome) -> list:
    """Return the labels of all answers that a reader can see."""
    return displayed(browser, ".flowchart fieldset > label")


def walk(browser: webdriver.Chrome) -> Iterator[list[str]]:
    """Click every way through the flowchart of the page; yield the answers that led to a recipe."""
    chart = browser.find_element(By.CSS_SELECTOR, ".flowchart > fieldset")
    seen: set[str] = set()

    def visit(question, above: list[str]) -> Iterator[list[str]]:
        for label in question.find_elements(By.XPATH, "./label"):
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", label)
            label.click()
            way = [*above, label.text]
            (below,) = label.find_elements(By.XPATH, "./following-sibling::div[1]")
            assert below.is_displayed()
            if below.find_elements(By.XPATH, "./fieldset"):
                yield from visit(below.find_element(By.XPATH, "./fieldset"), way)
            else:
                assert " / ".join(way) not in seen
                seen.add(" / ".join(way))
                yield way

    yield from visit(chart, [])


@flowcharts
def test_every_way_through_a_flowchart_ends_at_one_recipe(open_page, page):
    browser = open_page(page)
    assert answers(browser)
    assert not any(browser.execute_script(RECIPES))
    assert displayed(browser, ".flowchart button[type=reset]") == []
    ways = 0
    for way in walk(browser):
        ways += 1
        assert sum(browser.execute_script(RECIPES)) == 1, way
        chosen = browser.find_elements(By.CSS_SELECTOR, ".flowchart fieldset > input:checked")
        assert len(chosen) >= len(way)
        assert chosen_everywhere(browser, "keras")
    assert ways == len(browser.execute_script(RECIPES)) >= 5
    displayed(browser, ".flowchart button[type=reset]")[0].click()
    assert not any(browser.execute_script(RECIPES))
    assert browser.find_elements(By.CSS_SELECTOR, ".flowchart fieldset > input:checked") == []


@flowcharts
def test_a_recipe_shows_the_framework_that_the_page_shows(open_page, page):
    browser = open_page(page)
    next(walk(browser))
    (keras,) = [text for text in shown_code(browser) if "import keras" in text]
    assert "import torch" not in keras
    choose(browser, "torch")
    assert chosen_everywhere(browser, "torch")
    (torch,) = shown_code(browser)
    assert "import torch" in torch


def shown_code(browser: webdriver.Chrome) -> list[str]:
    """Return the code that the flowchart shows."""
    return [block.text for block in displayed(browser, ".flowchart .highlight pre")]


@flowcharts
def test_a_flowchart_can_be_answered_with_the_keyboard(open_page, page):
    browser = open_page(page)
    browser.execute_script(
        "const above = document.querySelector('.flowchart').previousElementSibling;"
        "above.tabIndex = -1; above.focus();"
    )

    def press(*keys: str) -> None:
        webdriver.ActionChains(browser).send_keys(*keys).perform()

    press(Keys.TAB)
    first = browser.switch_to.active_element
    assert first.get_attribute("type") == "radio"
    outline = "return getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert browser.execute_script(outline) == "solid"
    assert not first.is_selected()
    press(Keys.SPACE)
    assert first.is_selected()
    for _ in range(6):  # down the first answers
        if any(browser.execute_script(RECIPES)):
            break
        press(Keys.TAB, Keys.SPACE)
    assert sum(browser.execute_script(RECIPES)) == 1
    before = shown_code(browser)
    press(Keys.ARROW_RIGHT)  # the next answer to the last question
    browser.execute_async_script(LAID_OUT)
    assert shown_code(browser) != before


@flowcharts
def test_a_flowchart_needs_no_script(open_page, page):
    browser = open_page(page)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        label = answers(browser)[-1]
        webdriver.ActionChains(browser).move_to_element(label).click().perform()
        (below,) = label.find_elements(By.XPATH, "./following-sibling::div[1]")
        assert below.is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@flowcharts
def test_on_paper_a_flowchart_stands_open(open_page, page):
    browser = open_page(page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert all(browser.execute_script(RECIPES))
        labels = browser.find_elements(By.CSS_SELECTOR, ".flowchart fieldset > label")
        assert len(answers(browser)) == len(labels)
        code = browser.find_elements(By.CSS_SELECTOR, ".flowchart .highlight pre")
        assert len(shown_code(browser)) == len(code) == 2 * len(browser.execute_script(RECIPES))
        for label in labels:  # an answer stands above what follows from it
            (below,) = label.find_elements(By.XPATH, "./following-sibling::div[1]")
            assert label.rect["y"] < below.rect["y"]
        assert displayed(browser, ".flowchart button[type=reset]") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@flowcharts
def test_no_recipe_is_wider_than_a_phone(open_page, page):
    browser = open_page(page, PHONE)
    for way in walk(browser):
        content, screen = browser.execute_script(WIDTHS)
        assert content <= screen, way


@flowcharts
def test_an_answered_flowchart_is_accessible(open_page, page, axe):
    browser = open_page(page)
    *_, _ = walk(browser)
    browser.execute_script(axe)
    for theme in ("dark", "light"):
        browser.execute_script(
            "document.documentElement.dataset.theme = arguments[0];"
            "for (const fade of document.getAnimations()) fade.finish();",
            theme,
        )
        assert browser.execute_async_script(AXE) == [], theme
