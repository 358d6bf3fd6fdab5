"""The grouping of framework cells into tab sets, on notebooks of a few cells."""

from book_support import code, markdown, tab_sets

TITLE = markdown("# Title")


def test_a_pair_becomes_a_synchronised_tab_set(tiny_book):
    book = tiny_book({"page": [TITLE, code("k = 1", "keras"), code("t = 1", "torch")]})
    assert tab_sets(book.doctrees["page"]) == [[("Keras", ["k = 1"]), ("PyTorch", ["t = 1"])]]
    assert 'data-sync-group="framework" data-sync-id="keras"' in book.html["page"]
    assert 'data-sync-group="framework" data-sync-id="torch"' in book.html["page"]
    assert book.warnings == ""


def test_keras_comes_first_whatever_the_order(tiny_book):
    book = tiny_book({"page": [TITLE, code("t = 1", "torch"), code("k = 1", "keras")]})
    assert tab_sets(book.doctrees["page"]) == [[("Keras", ["k = 1"]), ("PyTorch", ["t = 1"])]]


def test_a_recurring_framework_starts_a_new_set(tiny_book):
    cells = [
        code("k1 = 0", "keras"),
        code("t1 = 0", "torch"),
        code("k2 = 0", "keras"),
        code("t2 = 0", "torch"),
    ]
    book = tiny_book({"page": [TITLE, *cells]})
    assert tab_sets(book.doctrees["page"]) == [
        [("Keras", ["k1 = 0"]), ("PyTorch", ["t1 = 0"])],
        [("Keras", ["k2 = 0"]), ("PyTorch", ["t2 = 0"])],
    ]


def test_neighbours_of_one_framework_share_a_tab(tiny_book):
    cells = [
        code("k1", "keras"),
        code("k2", "keras"),
        code("t1", "torch"),
        code("t2", "torch"),
    ]
    book = tiny_book({"page": [TITLE, *cells]})
    assert tab_sets(book.doctrees["page"]) == [[("Keras", ["k1", "k2"]), ("PyTorch", ["t1", "t2"])]]


def test_prose_joins_the_cell_of_its_framework_in_either_spelling(tiny_book):
    cells = [
        markdown(":::{div} tag-keras\nAbout Keras.\n:::"),
        code("k", "keras"),
        code("t", "torch"),
        markdown(":::{div} tag_torch\nAbout PyTorch.\n:::"),
    ]
    book = tiny_book({"page": [TITLE, *cells]})
    assert tab_sets(book.doctrees["page"]) == [
        [("Keras", ["About Keras.", "k"]), ("PyTorch", ["t", "About PyTorch."])]
    ]
    assert book.warnings == ""


def test_shared_prose_ends_a_set(tiny_book):
    first = [code("k1", "keras"), code("t1", "torch")]
    second = [code("k2", "keras"), code("t2", "torch")]
    cells = [*first, markdown("For both."), *second]
    assert len(tab_sets(tiny_book({"page": [TITLE, *cells]}).doctrees["page"])) == 2


def test_a_missing_twin_warns_with_its_location_and_stays(tiny_book):
    book = tiny_book({"page": [TITLE, markdown("## Part"), code("k", "keras"), markdown("Text")]})
    assert tab_sets(book.doctrees["page"]) == []
    assert "the pair has no PyTorch twin" in book.warnings
    assert "page.ipynb:3000" in book.warnings  # the third cell
    assert "tag_keras" in book.html["page"]


def test_prose_between_twins_warns_for_both(tiny_book):
    cells = [code("k", "keras"), markdown("Text"), code("t", "torch")]
    warnings = tiny_book({"page": [TITLE, *cells]}).warnings
    assert "no PyTorch twin" in warnings
    assert "no Keras twin" in warnings


def test_an_uneven_set_warns(tiny_book):
    cells = [code("k1", "keras"), code("k2", "keras"), code("t", "torch")]
    book = tiny_book({"page": [TITLE, *cells]})
    assert "as many cells in each framework, found 2 Keras and 1 PyTorch" in book.warnings
    assert tab_sets(book.doctrees["page"]) == []


def test_pairs_inside_sections_and_exercises(tiny_book):
    cells = [
        markdown("## Section"),
        code("k1", "keras"),
        code("t1", "torch"),
        markdown("```{exercise-start}\n:label: first\n```"),
        code("k2", "keras"),
        code("t2", "torch"),
        markdown("```{exercise-end}\n```"),
    ]
    book = tiny_book({"page": [TITLE, *cells]})
    assert [dict(tabs)["Keras"] for tabs in tab_sets(book.doctrees["page"])] == [
        ["k1"],
        ["k2"],
    ]
    assert book.warnings == ""


def test_framework_prose_inside_an_admonition(tiny_book):
    source = (
        "::::{note}\n:::{div} tag-keras\nWith Keras.\n:::\n"
        ":::{div} tag-torch\nWith PyTorch.\n:::\n::::"
    )
    book = tiny_book({"page": [TITLE, markdown(source)]})
    assert len(tab_sets(book.doctrees["page"])) == 1
    assert book.warnings == ""


def test_labels_survive_before_and_inside_a_set(tiny_book):
    cells = [
        markdown("[the set](#the-set), [the twin](#the-twin)\n\n(the-set)="),
        code("k", "keras"),
        markdown("(the-twin)="),
        code("t", "torch"),
    ]
    book = tiny_book({"page": [TITLE, *cells]})
    assert len(tab_sets(book.doctrees["page"])) == 1
    assert book.warnings == ""
    for anchor in ("the-set", "the-twin"):
        assert f'href="#{anchor}"' in book.html["page"]
        assert f'id="{anchor}"' in book.html["page"]


def test_a_hidden_input_stays_hidden_inside_its_tab(tiny_book):
    cells = [code("k", "keras", "hide-input"), code("t", "torch", "hide-input")]
    book = tiny_book({"page": [TITLE, *cells]})
    assert len(tab_sets(book.doctrees["page"])) == 1
    assert book.html["page"].count('<details class="admonition hide') == 2
