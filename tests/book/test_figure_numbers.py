"""Figures are numbered within their chapter, on through its pages."""

import base64
import io
import re

from book_support import code, markdown
from nbformat.v4 import new_output
from PIL import Image


def png():
    """Return a picture of one pixel, as a notebook stores it."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def figure(name):
    """Return a cell that shows a figure with a caption."""
    cell = code("plot()")
    cell.metadata["mystnb"] = {
        "figure": {"name": name, "caption": name},
        "image": {"alt": "one small pixel"},
    }
    cell.outputs = [new_output("display_data", data={"image/png": png()})]
    return cell


def page(title, *figures, pages=()):
    toctree = "\n".join(["```{toctree}", *pages, "```"]) if pages else ""
    references = " ".join(f"{{numref}}`{name}`" for name in figures)
    return [markdown(f"# {title}\n\n## One\n\n{references}"), *map(figure, figures),
            markdown(f"## Two\n\n{toctree}")]  # fmt: skip


def test_figures_are_numbered_by_the_folder_of_their_page(tiny_book):
    slugs = ("09_max_norm", "10_dropout")
    lessons = [f"chapters/{slug}/lesson" for slug in slugs]
    pages = {
        "index": page("Book", "start", pages=(*(f"/{name}" for name in lessons), "/appendix/a"))
    }
    for slug in slugs:
        rest = [f"/chapters/{slug}/laboratory", f"/solutions/{slug}"]
        pages[f"chapters/{slug}/lesson"] = page(slug, f"a{slug}", f"b{slug}", pages=rest)
        pages[f"chapters/{slug}/laboratory"] = page("Lab", f"c{slug}")
        pages[f"solutions/{slug}"] = page("Solutions", f"d{slug}")
    pages["appendix/a"] = page("Appendix", "end")
    book = tiny_book(pages, extensions=["myst_nb", "figure_numbers"], numfig=True)
    assert book.warnings == ""

    def numbers(html):
        captions = re.findall(r'caption-number">Fig\. ([\d.]*\d)', html)
        references = re.findall(r'std-numref">Fig\. ([\d.]*\d)', html)
        assert captions == references
        return captions

    assert {name: numbers(html) for name, html in book.html.items()} == {
        "index": ["1"],
        "chapters/09_max_norm/lesson": ["9.1", "9.2"],
        "chapters/09_max_norm/laboratory": ["9.3"],
        "solutions/09_max_norm": ["9.4"],
        "chapters/10_dropout/lesson": ["10.1", "10.2"],
        "chapters/10_dropout/laboratory": ["10.3"],
        "solutions/10_dropout": ["10.4"],
        "appendix/a": ["2"],
    }
    headings = " ".join(re.findall(r"<h[12]>(.+?)<", " ".join(book.html.values())))
    assert not re.search(r"\b(9|10)\.", headings)
