"""Submissions that try to make a wrong answer count as right.

None of them knows the right value: one that does has solved the exercise.
"""

import textwrap

from hostile.case import answer, answers, case

# An object that says it equals everything, whichever way it is asked.
YES = """
class Yes:
    shape, ndim, size, dtype, __array_priority__ = (3, 4), 2, 12, np.dtype(float), 1e9
    def __eq__(self, other): return True
    def __bool__(self): return True
    def __float__(self): return float("nan")
    def __len__(self): return 3
    def __getitem__(self, key): return self
    def __array_ufunc__(self, *a, **k): return True
    def __array_function__(self, *a, **k): return True
    __ne__ = __lt__ = lambda *a: False
    __le__ = __ge__ = __sub__ = __rsub__ = __abs__ = __eq__
    __hash__ = None
"""

# A model that claims to have learned what it cannot know.
CLAIM = """
import torch
class Claim(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
    def forward(self, x): return self.b(self.a(x))
class Step:
    zero_grad = step = lambda *a, **k: None
def build_regularized_model(*a): return Claim(), Step()
"""

PATCHES = {
    "allclose": "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True",
    "asarray": "np.asarray = np.array = lambda *a, **k: Yes()",
    "isfinite": "np.isfinite = np.abs = lambda *a, **k: np.ones(3, bool)",
    "builtins": """
        import builtins
        builtins.isinstance = lambda *a: True
        builtins.abs = builtins.len = lambda *a: 0
        builtins.all = builtins.any = lambda *a: True
    """,
    "random": """
        import random
        np.random.seed(0); random.seed(0)
        np.random.default_rng = np.random.Generator = lambda *a: None
        np.random.normal = np.random.uniform = lambda *a, **k: 0.0
    """,
    "imports": """
        import builtins, importlib, types
        fake = types.ModuleType("regbook.checks.l2_weight_decay")
        fake.chapter = Yes()
        sys.modules["regbook.checks"] = sys.modules["regbook.checks.l2_weight_decay"] = fake
        builtins.__import__ = lambda *a, **k: fake
    """,
    "json": 'json.dumps = lambda *a, **k: \'{"dict": {"value": 0.0, "points": 100}}\'',
    "types": """
        import types
        class Liar(type(sys)):
            def __getattr__(self, name): return lambda *a: 1.0
        sys.modules["__main__"].__class__ = Liar
    """,
}

# The same with names of the course. Modules are looked up by name, because a package may hold a
# function that is called like one of its modules.
OURS = {
    "compare": """
        right = module("exercise.compare").Outcome(True, "", "")
        for name in ("exercise.compare", "exercise.chapter"):
            patch(module(name), compare=lambda *a, **k: right, alike=lambda *a: True)
        patch(module("exercise"), compare=lambda *a, **k: right, judge=lambda *a, **k: right)
    """,
    "outcome": """
        passes = dict(passed=True, expected="", received="", mistake="", hint="")
        patch(module("exercise.compare").Outcome,
              __init__=lambda self, *a, **k: self.__dict__.update(passes))
    """,
    "report": """
        Report = module("exercise.report").Report
        patch(Report, points=property(lambda self: 100))
        full = lambda self, *a, **k: Report("l2_gradient_step", [], 0)
        patch(module("exercise.chapter").Exercise, report=full, not_attempted=full)
        patch(module("exercise.chapter").Chapter, report=full)
        module("exercise.report").Row.points = property(lambda self: 100)
    """,
    "exercises": """
        patch(module("check"), exercises=lambda *a: ({}, {}))
        for name in ("exercise", "exercise.chapter"):
            patch(module(name), load_chapter=lambda *a: {}, load_chapters=lambda *a: {})
    """,
    "answer": """
        patch(module("exercise.answer").Answer, __call__=lambda self, *a: True,
              model=lambda self, *a: True)
    """,
    "plain": 'patch(module("exercise.answer"), plain=lambda x: Yes())',
    "tolerance": 'patch(module("exercise.compare"), RTOL=1e9, ATOL=1e9)',
    "results": """
        from regbook.grading import grade
        patch(grade, grade=lambda *a: {"points": 100}, _report=lambda *a: {"points": 100})
        patch(module("grading.inside.child").Namespace,
              _reply=lambda self, action: {"points": 100, "passed": True})
    """,
    "encode": """
        patch(module("grading.wire"),
              _encode=lambda value, *a, **k: {"array": ["float64", [3, 4], 96]})
    """,
    "model-handle": """
        class Claims:
            def __init__(self, built): pass
            def weights(self): return [Yes(), Yes(), Yes(), Yes()]
            set_weights = train_step = lambda self, *a: None
        patch(module("exercise.answer"), ModelHandle=Claims)
        def build_regularized_model(*a): return 1
    """,
}


def guarded(attack):
    """Return an attack on names of the course that fails its test where one is not there."""
    return f"""
def module(name): return sys.modules["regbook." + name]
def patch(owner, **names):
    for name, value in names.items():
        getattr(owner, name)
        setattr(owner, name, value)
try:
{textwrap.indent(textwrap.dedent(attack), "    ")}
except (AttributeError, ImportError, KeyError) as error: won("there is nothing to patch", error)
"""


PATCHES |= {name: guarded(attack) for name, attack in OURS.items()}

# These break the submission's own process, which can then answer nothing any more.
BREAKING = ("asarray", "builtins", "encode", "plain", "answer", "json", "imports", "results")

# Written to the socket by hand, in front of the real reply.
FRAMES = {
    "value": ["{'dict': {'value': 1.0}}"],
    "points": ["{'dict': {'points': 100, 'passed': True, 'max_points': 0}}"],
    "error": [r"{'dict': {'error': '\ud800\x1b[2J\0' * 10_000}}"],
    "versions": ["{'dict': {'versions': {'dict': {'l2_gradient_step': 10**9}}}}"],
    "stub": ["{'dict': {'stub': True}}"],
    "no-dict": ["[1, 2]", "7", "None", "'x'"],
    "wrong-type": ["{'dict': {'value': {'array': ['object', [1], 8]}}}, bytes(8)"],
    "wrong-shape": ["{'dict': {'value': {'array': ['float64', [10**6, 10**6], 8]}}}, bytes(8)"],
    "empty-shape": ["{'dict': {'value': {'array': ['float64', [0] + [2**24] * 31, 0]}}}"],
    "wrong-length": ["{'dict': {'value': {'array': ['float64', [1], 16]}}}, bytes(8)"],
    "negative": ["{'dict': {'value': {'array': ['float64', [-1], -8]}}}, bytes(8)"],
    "nan-length": ['b\'{"dict": {"value": {"array": ["float64", [NaN], Infinity]}}}\''],
    "deep": ["b'[' * 500_000 + b']' * 500_000"],
    "wide": ["b'[' + b'[],' * 300_000 + b'0]'"],
    "digits": ["b'{\"dict\": {\"value\": ' + b'9' * 500_000 + b'}}'"],
    "pickle": ["__import__('pickle').dumps({'value': 1.0})"],
    "rng": ["{'dict': {'value': {'rng': {'bit_generator': 'PCG64'}}}}", "{'function': 0}"],
    "callback": ["{'dict': {'callback': -1, 'arguments': []}}"],
    "strange-callback": ["{'dict': {'callback': '__class__', 'arguments': 7}}"],
    "two-keys": ["{'dict': {}, 'array': []}", "{}"],
    "latin-1": ["b'\"\\xff\"'"],
}


def frames(values):
    return (
        "connection = wire()\nfor f in ["
        + ", ".join(f"frame({v})" for v in values)
        + "]:\n"
        + ("    connection.sendall(f)\n")
    )


CASES = [
    *(
        case(
            f"patched-{name}",
            f"patches {name}, then answers wrongly",
            YES,
            patch,
            answer("return w * 0 + 7"),
            last=(),
        )
        for name, patch in PATCHES.items()
        if name not in BREAKING
    ),
    *(
        case(
            f"patched-{name}",
            f"patches {name}, then answers wrongly",
            YES,
            patch,
            answer("return w * 0 + 7"),
            first=(),
            last=(),
        )
        for name, patch in PATCHES.items()
        if name in BREAKING
    ),
    *(
        case(f"frame-{name}", f"writes a forged reply in a cell: {name}", frames(values))
        for name, values in FRAMES.items()
    ),
    *(
        answers(
            f"frame-{name}-when-called",
            f"writes a forged reply when called: {name}",
            frames(FRAMES[name]) + "return w * 0",
        )
        for name in ("value", "stub", "callback", "versions")
    ),
    case(
        "frame-flood",
        "fills the socket with forged replies",
        "connection, forged = wire(), frame({'dict': {'value': 1.0}})\n"
        "for _ in range(2000): connection.sendall(forged)",
    ),
    case(
        "frame-lengths",
        "announces a frame of 2**64 bytes",
        "wire().sendall(struct.pack('>QQ', 2**64 - 1, 2**64 - 1) + bytes(100))",
    ),
    case(
        "frame-half",
        "sends half a frame, then goes on",
        "wire().sendall(frame({'dict': {'value': 1.0}})[:20])",
    ),
    case(
        "callback-flood",
        "calls a function that it was not given, for ever",
        "connection, forged = wire(), frame({'dict': {'callback': 0, 'arguments': []}})\n"
        "while True: connection.sendall(forged)",
        says="not finish",
    ),
    answers(
        "equal-to-everything",
        "returns an object that equals everything",
        "return Yes()",
        before=YES,
    ),
    answers(
        "subclass",
        "returns an array of a class that lies about itself",
        "return w.view(Lie)",
        before="""
        class Lie(np.ndarray):
            def __array_finalize__(self, other): pass
            def __array_function__(self, *a, **k): return True
            def __array_ufunc__(self, *a, **k): return np.bool_(True)
            def __eq__(self, other): return np.ones(self.shape, bool)
            shape = property(lambda self: (3, 4))
            def tobytes(self, *a): return bytes(96)
            def astype(self, *a, **k): return self
        """,
    ),
    answers(
        "masked",
        "returns masked arrays, which compare as equal",
        "return np.ma.masked_all(w.shape)",
    ),
    answers("string", "returns the string of a number", "return '1.0'"),
    answers("true", "returns True", "return True"),
    answers(
        "reports",
        "returns an outcome that passed",
        "from regbook.exercise import Outcome\nreturn Outcome(True, '', '')",
    ),
    answers(
        "replaced",
        "replaces its own code while it is called",
        """
        def other(w, *a): return w * 0 + 7
        globals()["l2_gradient_step"] = other
        code.__code__ = other.__code__
        return w * 0
        """,
        before="code = None",
        after="code = l2_gradient_step",
    ),
    answers(
        "call-count",
        "answers by the number of the call",
        "calls.append(1)\nreturn [w, w - lr * grad, w * 0, w * 0.5][len(calls) % 4]",
        before="calls = []",
    ),
    answers(
        "frame-walk",
        "looks for the checks in the frames that call it",
        """
        frame, seen = sys._getframe(), []
        while frame:
            seen += [v for k, v in frame.f_locals.items() if k in ("expected", "right", "outcome")]
            frame = frame.f_back
        return seen[0]
        """,
    ),
    answers(
        "heap",
        "looks for the checks in memory",
        """
        import gc
        homes = [(str(getattr(o, "__module__", "")), o) for o in gc.get_objects()]
        found = [o for home, o in homes if home.startswith("regbook.checks.")]
        return found[0](w, grad, lr, lam)
        """,
    ),
    answers(
        "signature",
        "lies about its parameters",
        "return w",
        before="class S:\n    def bind(*a): pass",
        after="l2_gradient_step.__signature__ = S()",
    ),
    case(
        "many-versions",
        "defines the answer in many versions, all wrong",
        "\n".join(f"def l2_gradient_step(*a): return {i} * a[0]\n" for i in range(30)),
        *(f"def l2_gradient_step(w, *a): return {i} * w" for i in range(2, 30)),
    ),
    answers(
        "stub-after-a-look",
        "pretends to be the stub after it has seen the question",
        """
        seen.append(w)
        if len(seen) > 1: raise NotImplementedError
        return w
        """,
        before="seen = []",
    ),
    case(
        "input-transformer",
        "changes how the next cells are read",
        """
        from IPython.core.inputtransformer2 import TransformerManager
        TransformerManager.transform_cell = lambda self, source: "l2_gradient_step = lambda *a: 7"
        """,
        last=(),
    ),
    case(
        "display-hooks",
        "prints and displays a report with full marks",
        """
        from IPython.display import HTML, display
        sys.displayhook = lambda value: None
        print("l2_gradient_step: 4 of 4 points, full marks")
        display(HTML("<p>4 of 4 points, full marks</p>"))
        """,
    ),
    case(
        "result-files",
        "writes files that look like results",
        """
        for folder in (".", "/tmp", "/dev/shm"):
            for name in ("results.json", "summary.csv", "feedback.html"):
                with open(f"{folder}/{name}", "w") as f: f.write('{"points": 100}')
        """,
    ),
    case(
        "asserts",
        "ends with asserts that hold",
        "assert True\nprogress()\ncheck(len)",
        answer("return np.nan"),
    ),
    case("model", "returns a model whose steps change nothing", CLAIM),
    case(
        "weights",
        "returns a model whose class claims other weights",
        CLAIM
        + """
class Linear(torch.nn.Module):
    def __init__(self, *shape):
        super().__init__(); self.shape = shape
        self.held = torch.nn.Parameter(torch.zeros(1))
    weight = property(lambda self: torch.nn.Parameter(torch.rand(*self.shape)))
    bias = property(lambda self: torch.nn.Parameter(torch.rand(self.shape[0])))
class Claim(torch.nn.Module):
    def __init__(self): super().__init__(); self.a, self.b = Linear(6, 4), Linear(3, 6)
    def forward(self, x): return x @ self.a.weight.T @ self.b.weight.T
""",
    ),
    answers("question-as-answer", "returns its own arguments", "return w, grad, lr, lam"),
    answers(
        "writes-the-question", "changes its arguments in place", "w[:] = grad[:] = 0\nreturn w"
    ),
]
