"""An answer that trains through `train` cannot reach the rows, nor train more than is counted."""

import time

import numpy as np
import pytest
from grading_support import CELL, Light, book, need_bubblewrap, points
from hostile import case

from regbook.exercise import AnswerError, Failed, load_chapter
from regbook.exercise.training import Trials
from regbook.grading.grade import _Remote, _Run, grade
from regbook.grading.sandbox import OverLimit
from regbook.grading.submission import Submission

OPEN = {
    "02_cross_validation": "repaired_score",
    "05_initialization": "start_thirty_layers",
    "07_l2_weight_decay": "choose_penalty",
    "08_l1_sparsity": "choose_columns",
    "09_max_norm": "choose_radius",
    "10_dropout": "choose_dropout",
    "12_mc_dropout": "choose_rejection",
    "15_data_augmentation": "choose_transforms",
    "17_disturb_labels": "fair_verdict",
    "20_residual_networks": "rescue",
    "22_recipes": "my_recipe",
}
SETUP = "import numpy as np\n"


@pytest.fixture(scope="module")
def light():
    need_bubblewrap()
    with Light("bubblewrap") as sandbox:
        sandbox.start()
        yield sandbox


class Tried(Trials):
    """Trials of the settings "a" and "b", of which the second is better."""

    def __init__(self, budget=1000, work=None):
        def scores(setting, steps):
            if work:
                work()
            return {"dev": {"a": 0.5, "b": 0.7}[setting]}

        def read(value):
            if value not in ("a", "b"):
                raise ValueError("take a or b")
            return value

        super().__init__(scores, read, budget)


def decide(sandbox, source, trials, before=""):
    """Return what a submission decides; source: the body of `decide(train, budget)`."""
    lines = "\n".join(f"    {line}" for line in source.splitlines())
    cell = f"{SETUP}{before}\ndef decide(train, budget):\n{lines}"
    with _Run(sandbox, Submission([], [cell]), ["decide"]) as run:
        return trials.decide(_Remote(run, "decide", 0))


@pytest.mark.parametrize(("slug", "name"), OPEN.items())
def test_open_exercise_is_graded_as_in_the_notebook(light, slug, name):
    source = case.solutions(slug)[name]
    result = grade(book(source), light, 3)
    (report,) = [
        report
        for marks in result["chapters"]
        for report in marks["exercises"]
        if report["exercise"] == name
    ]
    space = {"np": np}
    exec(source, space)
    here = load_chapter(slug).report(space[name], exercise=name, seed=3)
    assert points(result) == here.points == here.max_points
    for there, row in zip(report["rows"], here.rows, strict=True):
        assert there["outcome"]["received"] == row.outcome.received


def test_settings_of_every_form_arrive(light):
    source = "x = train(np.str_('a'), np.float32(10)), train(*['b', np.array(20)])\n"
    trials = Tried()
    assert decide(light, source + "return max('ab', key='ab'.index)", trials) == "b"
    assert (trials.spent, trials.longest) == (30, 20)


TRY_BOTH = "for s in 'ab': train(s, 1)\n"


@pytest.mark.parametrize(
    ("attack", "spent"),
    [
        ("for n in (-9, 0, 0.5, np.nan, np.inf, None, 'x', [], {}, 1j): ask('a', n)", 2),
        ("for s in (None, 7, ['a'], {'a': 1}, np.zeros(1 << 20), 'a' * 99999): ask(s, 9)", 2),
        ("ask('a', 10**5000); ask('a', 10**400); ask(object(), 1)", 2),
        ("ask('a'); ask(); ask('a', 1, 1); ask(setting='a', steps=1)", 2),
        # The stand-in holds a number and a socket: another number is no function, or this one.
        ("for n in (-1, 0, 1, '__class__', None): call(n, ['b', 100])", 202),
        ("call(0, ['b', 400]); call(0, ['b', 400]); call(0, ['b', 197])", 999),
    ],
)  # fmt: skip
def test_what_is_asked_strangely_is_refused_or_counted(light, attack, spent):
    before = (
        case.TOOLS
        + """
from regbook.grading import wire as format
def ask(*arguments, **options):
    global train
    try: train(*arguments, **options)
    except Exception: pass
def call(index, arguments):
    connection = wire()
    format.send(connection, {"callback": index, "arguments": arguments})
    return format.receive(connection)
"""
    )
    trials = Tried()
    source = f"globals()['train'] = train\n{TRY_BOTH}{attack}\nreturn 'b'"
    assert decide(light, source, trials, before) == "b"
    assert (trials.spent, trials.over) == (spent, 0)


@pytest.mark.parametrize(
    "source",
    [
        "train('a', 600)\ntrain('b', 600)",
        "train('a', 10**6)",
        "train('a', 1e300)",
        "try:\n    while True: train('a', 300)\nexcept BaseException: return 'b'",
        "import copy\nfor s in 'ab': copy.deepcopy(train)(s, 600)",
        "import threading\n"
        "for s in 'ab':\n    t = threading.Thread(target=lambda: train(s, 600))\n"
        "    t.start(); t.join()\nreturn 'b'",
        # Whatever it changes in its own process, the count is elsewhere.
        "import regbook.exercise.training as t\n"
        "t.Trials._train = lambda *_: {'dev': 1.0}\nbudget = 10**9\n"
        "for s in 'ab': train(s, 600)",
    ],
)
def test_more_steps_than_the_budget_are_noticed(light, source):
    trials = Tried()
    with pytest.raises(Failed) as failed:
        decide(light, source, trials)
    assert failed.value.outcome.mistake == "over budget"
    assert trials.spent <= trials.budget


def test_nothing_of_the_rows_is_where_the_answer_runs(light):
    """What `train` holds there, and every object that can be reached from it, is no large array."""
    secret = np.random.default_rng(0).normal(size=5000)
    trials = Tried(work=lambda: secret.sum())
    source = (
        TRY_BOTH
        + """
import gc
found, seen = [train], set()
while found:
    item = found.pop()
    if id(item) in seen or len(seen) > 200_000: continue
    seen.add(id(item))
    if isinstance(item, np.ndarray) and item.size >= 5000: raise RuntimeError("an array")
    found += gc.get_referents(item)
return 'b'
"""
    )
    assert decide(light, source, trials) == "b"


def test_checks_that_the_sandbox_hides_give_no_rows(light):
    source = "import regbook.checks.dropout\nreturn 'b'"
    with pytest.raises(AnswerError, match=r"regbook\.checks"):
        decide(light, source, Tried())


def spin(seconds):
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        pass


@pytest.mark.parametrize(("work", "stopped"), [(time.sleep, False), (spin, True)])
def test_training_counts_as_time_and_waiting_for_a_processor_does_not(light, work, stopped):
    """Four calls take 1.6 s. Sleep stands for a busy machine: this process does not compute."""
    request = {"do": "call", "name": "f", "version": 0, "model": False}
    with light.child() as child:
        child.request({"do": "open", "names": ["f"], "files": {}}, 20)
        source = "def f(g): return sum(g() for _ in range(4))"
        child.request({**CELL, "source": source}, 20)

        def slow():
            work(0.4)
            return 1.0

        def reply():
            return child.request({**request, "arguments": [slow]}, 1)

        if stopped:
            with pytest.raises(OverLimit, match="did not finish within 1 s"):
                reply()
        else:
            assert reply()["value"] == 4
            assert child.spent < 1


def test_endless_training_is_stopped(light):
    with pytest.raises(OverLimit):
        decide(light, "while True:\n    try: train('c', 1)\n    except ValueError: pass", Tried())
