"""The built book: no needless work, no noise, described pictures, honest links."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from book_support import LESSONS, NOTEBOOKS, PAGES, ROOT, make_book, soup
from bs4 import BeautifulSoup, SoupStrainer
from PIL import Image

from regbook.chapters import FIRST_EDITION

SOURCES = ["_ext", "_static", "_templates", "appendix", "chapters", "solutions"]
SOURCES += ["_config.yml", "_toc.yml", "index.md", "references.bib"]

NEEDS_ADDRESS = re.compile(r"colab\.research|mybinder\.org|/edit/|/issues/new")


def cached_executions() -> set[tuple[int, str]]:
    """Return (key, time) of every notebook execution that the book's cache holds."""
    with sqlite3.connect(ROOT / "_build" / ".jupyter_cache" / "global.db") as cache:
        return set(cache.execute("SELECT pk, created FROM nbcache"))


def execution_seconds(page: str) -> float:
    """Return the processor time of a page's kernel, imports included, when it was last executed."""
    with sqlite3.connect(ROOT / "_build" / ".jupyter_cache" / "global.db") as cache:
        query = "SELECT data FROM nbcache WHERE uri = ? ORDER BY created DESC"
        (data,) = cache.execute(query, [str(ROOT / f"{page}.ipynb")]).fetchone()
    return json.loads(data)["execution_seconds"]


@pytest.fixture(scope="module", params=["", "https://github.com/example/book"])
def book_with_address(request, tmp_path_factory, built_book) -> tuple[str, Path]:
    """Return an address and the pages of a book that has it.

    That is the book itself, or a copy that is built without being executed.
    """
    if yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"] == request.param:
        return request.param, built_book
    book = tmp_path_factory.mktemp("book")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, book / name)
    config = (book / "_config.yml").read_text()
    config = re.sub(r"(?m)^  url: .*$", f'  url: "{request.param}"', config)
    config = config.replace("execute_notebooks: cache", 'execute_notebooks: "off"')
    (book / "_config.yml").write_text(config)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(book)]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout[-4000:] + build.stderr[-4000:]
    return request.param, book / "_build" / "html"


def test_every_page_of_the_contents_is_built(built_book):
    assert [page for page in PAGES if not (built_book / f"{page}.html").exists()] == []


def test_a_second_build_executes_nothing(built_book):
    before = cached_executions()
    build = make_book()
    assert build.returncode == 0, build.stdout[-4000:]
    assert "Executing notebook" not in build.stdout
    assert cached_executions() == before


LINKING = SoupStrainer(["a", "link", "script", "img"])


def dead_links(html: Path) -> list[str]:
    """Return the links and sources of the pages in a folder that lead to no file there."""
    dead = []
    templates = set((html / "_static").rglob("*.html"))  # which the theme leaves there
    for page in set(html.rglob("*.html")) - templates:
        tags = BeautifulSoup(page.read_text(), "html.parser", parse_only=LINKING)(True)
        links = {tag.get("href") or tag.get("src") or "" for tag in tags}
        paths = {unquote(urldefrag(link).url.partition("?")[0]) for link in links}
        local = {path for path in paths if path and not re.match(r"[a-z]+:|//", path)}
        dead += [f"{page}: {path}" for path in local if not (page.parent / path).exists()]
    return dead


def test_the_book_of_a_class_has_no_solution_and_nothing_is_run_for_it(built_book):
    before = cached_executions()
    pages = {path: path.stat().st_mtime for path in built_book.rglob("*.html")}
    build = make_book("WITHOUT=solutions")
    assert build.returncode == 0, build.stdout[-4000:]
    assert cached_executions() == before
    assert {path: path.stat().st_mtime for path in built_book.rglob("*.html")} == pages

    html = ROOT / "_build" / "without-solutions" / "_build" / "html"
    kept = [page for page in PAGES if not page.startswith("solutions/")]
    assert [page for page in kept if not (html / f"{page}.html").exists()] == []
    files = [path.relative_to(html) for path in html.rglob("*") if path.is_file()]
    assert [path for path in files if "solutions" in str(path)] == []
    inventory = (html / "objects.inv").read_bytes().split(b"\n", 4)[4]
    texts = {path: (html / path).read_text(errors="replace") for path in files
             if path.suffix in (".html", ".js", ".ipynb", ".md")}  # fmt: skip
    texts[Path("objects.inv")] = zlib.decompress(inventory).decode()
    named = re.compile(r"solutions/\d\d_|Solutions: |BEGIN SOLUTION")
    assert {path: found[0] for path, text in texts.items() if (found := named.search(text))} == {}
    assert dead_links(html) == []


@pytest.mark.parametrize("value", ["lessons", "solutions lessons", "../x", "Solutions"])
def test_nothing_else_can_be_left_out(value):
    build = make_book(f"WITHOUT={value}")
    assert build.returncode == 2
    assert "make book WITHOUT=solutions" in build.stdout
    assert value.split()[-1] in build.stdout


def budget(page: str) -> int:
    """Return the seconds of processor time that a page may take, imports included."""
    if page.endswith("/laboratory"):
        return 45
    first_edition = any(slug in page for slug in FIRST_EDITION)
    if page in LESSONS:
        return 60 if first_edition else 30
    return 30 if first_edition else 15


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_page_keeps_its_time_budget(built_book, page):
    assert execution_seconds(page) <= budget(page)


@pytest.mark.parametrize("page", PAGES)
def test_no_start_up_noise(built_book, page):
    text = soup(built_book, page).get_text()
    assert [noise for noise in ("port.cc", "oneDNN custom", "cudart_stub") if noise in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_is_described(built_book, page):
    # The default is a hash or a file's name: a single word. A description has several.
    article = soup(built_book, page).select_one("article.bd-article")
    bare = [image["src"] for image in article("img") if len(image.get("alt", "").split()) < 3]
    assert bare == []


def figure_numbers(html: Path, *pages: str) -> list[str]:
    """Return the numbers of the figures of some pages, in their order."""
    captions = (c for page in pages for c in soup(html, page).select(".caption-number"))
    return re.findall(r"Fig\. ([\d.]+\d)", " ".join(c.get_text() for c in captions))


@pytest.mark.parametrize("lesson", LESSONS)
def test_figures_are_numbered_within_their_chapter(built_book, lesson):
    laboratory = lesson.replace("/lesson", "/laboratory")
    numbers = figure_numbers(built_book, *(p for p in (lesson, laboratory) if p in PAGES))
    chapter = int(lesson.partition("/")[2][:2])
    assert numbers
    assert numbers == [f"{chapter}.{i + 1}" for i in range(len(numbers))]
    for reference in soup(built_book, lesson).select("a.reference .std-numref"):
        assert re.fullmatch(r"Fig\. \d+\.\d+", reference.get_text()), reference


def test_figures_are_stored_with_a_palette(built_book):
    pictures = list((built_book / "_images").glob("*.png"))
    assert pictures
    for path in pictures:
        with Image.open(path) as image:
            assert image.mode == "P", path.name


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_buttons_follow_the_repository_address(book_with_address, page):
    address, html = book_with_address
    links = [link["href"] for link in soup(html, page)("a", href=True)]
    public = [link for link in links if NEEDS_ADDRESS.search(link)]
    if not address:
        assert public == []
        return
    colab = "https://colab.research.google.com/github/example/book/blob/main/"
    names = [link.removeprefix(colab) for link in public if link.startswith(colab)]
    assert names == [f"{page}.ipynb"]
    assert (ROOT / names[0]).exists()
    assert any(link.startswith("https://mybinder.org/v2/gh/example/book/main") for link in public)
    assert f"{address}/edit/main/{page}.ipynb" in public
    assert any(link.startswith(f"{address}/issues/new") for link in public)
    assert address in links
