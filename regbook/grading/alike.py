"""Which functions are equal but for names, comments, annotations and order: a digest of each.

The form of a function is a text made from its syntax tree. In it a name stands for what it was
bound to: an argument for its position, a local name for its value, an alias for its module, and a
helper function of the notebook for its own form. Operands of + and *, keyword arguments, and
assignments that do not need each other are sorted. Nothing is run, and sources may be hostile.
"""

import ast
import contextlib
import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import regbook
from regbook.exercise import load_chapter
from regbook.grading.learners import learner
from regbook.grading.submission import parse

# Nodes of the syntax tree. Shorter functions are equal by chance: of the 470 right answers that the
# book has in its solutions, its checks and its tests, 22 equal another one, of 5 to 13 nodes each.
LEAST = 40
MOST, DEEPEST = 2000, 100  # nodes of a function and its helpers, and levels of them
CELL_LIMIT, NOTEBOOK_LIMIT = 1 << 15, 1 << 17  # characters that are read, in half a second at worst
FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)  # of hostile or unfinished code
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# The parts of a node that hold a value, and the names that are bound to it.
BOUND = (("value", "targets"), ("iter", "target"), ("context_expr", "optional_vars"))
LEFT_OUT = {"ctx", "kind", "name", "type_comment"}  # say nothing, or names that are told otherwise
FILE = "cell of a submission"
# What a learner's code makes Python warn about is not the teacher's business.
warnings.filterwarnings("ignore", category=SyntaxWarning, module=FILE)
warnings.filterwarnings("ignore", category=DeprecationWarning, module=FILE)

Definitions = Mapping[str, str | ast.AST]


def fingerprints(cells: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return a digest of the form of each function of a notebook, by name.

    cells: the sources of its code cells. names: the functions that the exercises ask for; those
    that are missing, the empty stub, or not from LEAST to MOST nodes large are left out.
    """
    found = measured(cells, names).items()
    return {name: digest for name, (digest, size) in found if size >= LEAST}


def measured(cells: Iterable[str], names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return (digest, number of nodes) of each function of `names`, of any size up to MOST."""
    definitions, names = _definitions(cells), list(names)
    found = {}
    for name in names:
        form = _Form(definitions, set(names) - {name})
        with contextlib.suppress(KeyError, *FAULTS):
            found[name] = form.of_name(name), form.size
    return found


def published(slug: str) -> dict[str, str]:
    """Return the fingerprints of a chapter's solution; {} where the book itself is not at hand."""
    path = Path(regbook.__file__).parents[1] / "solutions" / f"{slug}.ipynb"
    if not path.exists():
        return {}
    chapter = load_chapter(slug)
    return fingerprints(parse(path.read_bytes(), {slug: chapter}).cells, chapter.exercises)


def groups(prints: Mapping[str, Mapping[str, str]]) -> list[tuple[list[str], list[str]]]:
    """Return (exercises, submissions) of each set of submissions that share equal functions.

    prints: the fingerprints of each submission. Those that share most exercises come first. What
    one learner of a platform handed in more than once is no set of its own.
    """
    holders = defaultdict(list)
    for name, functions in sorted(prints.items()):
        for item in functions.items():
            holders[item].append(name)
    found = []
    for names in {tuple(names) for names in holders.values() if len(set(map(_who, names))) > 1}:
        common = set.intersection(*(set(prints[name].items()) for name in names))
        found.append((sorted(exercise for exercise, _ in common), list(names)))
    return sorted(found, key=lambda group: (-len(group[0]), len(group[1]), group[1]))


def _who(name):
    who = learner(name)
    return (who.platform, who.number) if who.platform else name


# --- from sources to definitions ------------------------------------------------------------------


def _parsed(source):
    """Return the statements of a cell, without its magics and commands of the system.

    IPython's own transformer reads a cell anew for each of them: hostile ones would take minutes.
    """
    try:
        return ast.parse(source, FILE).body
    except SyntaxError:
        lines = source.split("\n")
        for i, line in enumerate(lines):
            text = line.strip()
            if text.startswith(("%", "!", "?")) or text.endswith("?"):
                lines[i] = line[: len(line) - len(line.lstrip())] + "pass"
        return ast.parse("\n".join(lines), FILE).body


def _statements(nodes: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those inside them, but nothing of a function or a class."""
    for node in nodes:
        yield node
        if not isinstance(node, DEFINITIONS):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))


def _definitions(cells: Iterable[str]) -> dict[str, str | ast.AST]:
    """Return what each name of a notebook stands for: a module's full name, or a tree.

    The last definition counts, unless it is the empty stub.
    """
    found: dict[str, str | ast.AST] = {}
    left = NOTEBOOK_LIMIT
    for source in cells:
        if len(source) > min(CELL_LIMIT, left):
            continue
        left -= len(source)
        with contextlib.suppress(*FAULTS):
            for node in _statements(_parsed(source)):
                found |= _defined(node)
    return found


def _defined(node: ast.stmt) -> dict[str, str | ast.AST]:
    match node:
        case ast.Import() | ast.ImportFrom():
            return dict(_imported(node))
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if not _is_stub(node):
            return {node.name: node}
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name: node.value} if node.value else {}
    return {}


def _imported(node):
    """Yield what each name of an import statement stands for."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or whole, whole
        else:
            yield alias.asname or alias.name, f"{node.module or ''}.{alias.name}"


def _is_stub(node):
    match [part for part in node.body if not _says_nothing(part)]:
        case [ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name)))]:
            return name == "NotImplementedError"
    return False


def _says_nothing(node):
    """Tell whether a statement does nothing: a docstring, another text, or `pass`."""
    return isinstance(node, ast.Pass | ast.AnnAssign) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _digest(form):
    return hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# --- from definitions to forms --------------------------------------------------------------------


class _Scope:
    """What the names stand for at a place of a function; None is a local name without a value."""

    def __init__(self, outer: "_Scope | None" = None, local: Iterable[str] = ()) -> None:
        self.names: dict[str, str | None] = dict(outer.names if outer else {})
        self.names |= dict.fromkeys(local)
        self.made: Counter[str] = Counter(outer.made if outer else ())

    def bind(self, name: str, form: str) -> None:
        """Let a name stand for a form from here on; equal ones are numbered."""
        base = _digest(form)
        self.made[base] += 1
        self.names[name] = f"<{base} {self.made[base]}>"

    def bind_target(self, target: ast.AST, form: str) -> None:
        """Let the names in the target of an assignment or a loop stand for its value."""
        for index, name in enumerate(_names(target, ast.Store)):
            self.bind(name, f"{index} of {form}")


class _Form:
    """Write forms. size: the nodes so far, of a function and of the helpers that it names."""

    def __init__(self, definitions: Definitions, kept: set[str]) -> None:
        """kept: the names that stand for themselves, those of the other exercises."""
        self.definitions, self.kept, self.size = definitions, kept, 0
        self._depth = 0
        self._known: dict[str, str] = {}

    def of_name(self, name: str) -> str:
        """Return the digest of what a notebook defines. Raises KeyError, and as `of` does."""
        value = self.definitions[name]
        if isinstance(value, str):
            return value
        if name not in self._known:
            self._known[name] = "itself"  # while it is written
            self._known[name] = _digest(self.of(value, _Scope()))
        return self._known[name]

    def of(self, node: ast.AST, scope: _Scope) -> str:
        """Return the form of a node. Raises ValueError beyond MOST nodes or DEEPEST levels."""
        self.size += not isinstance(node, ast.Attribute)  # np.f and f weigh the same
        self._depth += 1
        if self.size > MOST or self._depth > DEEPEST:
            raise ValueError("too large for a form")
        form = self._of(node, scope)
        self._depth -= 1
        return form

    def _of(self, node, scope):
        match node:
            case ast.Name(id=name):
                return self._name(name, scope)
            case ast.Attribute(value=value, attr=attribute):
                return f"{self.of(value, scope)}.{attribute}"
            case ast.BinOp(op=ast.Add() | ast.Mult()):
                operands = [self.of(operand, scope) for operand in _operands(node)]
                return f"{type(node.op).__name__}({', '.join(sorted(operands))})"
            case ast.Call():
                return self._call(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node, scope)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node, scope)
            case ast.NamedExpr(target=target, value=value):
                form = self.of(value, scope)
                scope.bind_target(target, form)
                return form
            case ast.ClassDef():
                return self._class(node, scope)
        return self._other(node, scope)

    def _name(self, name, scope):
        if name in scope.names:
            return scope.names[name] or "later"
        return self.of_name(name) if name in self.definitions.keys() - self.kept else name

    def _call(self, node, scope):
        helper = self.definitions.get(node.func.id) if isinstance(node.func, ast.Name) else None
        places = {}
        if isinstance(helper, FUNCTIONS) and node.func.id not in self.kept:
            places = {name: str(i) for i, name in enumerate(_parameters(helper.args))}
        parts = [self.of(part, scope) for part in (node.func, *node.args)]
        named = [
            f"{places.get(part.arg, part.arg)}={self.of(part.value, scope)}"
            for part in node.keywords
        ]
        return f"Call({', '.join(parts + sorted(named))})"

    def _function(self, node, scope):
        """Return the form of a function, also of one without a name."""
        parameters = _parameters(node.args)
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        parts = [str(len(parameters)), *(self.of(default, scope) for default in defaults)]
        body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
        inner = _Scope(scope, (name for part in body for name in _names(part, ast.Store)))
        for index, name in enumerate(parameters):
            inner.bind(name, f"argument {index}")
        return f"Function({', '.join(parts)}: {self._block(body, inner)})"

    def _comprehension(self, node, scope):
        inner, parts = _Scope(scope), [type(node).__name__]
        for part in node.generators:
            form = self.of(part.iter, inner)
            inner.bind_target(part.target, form)
            parts += [form, *(self.of(test, inner) for test in part.ifs)]
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return f"{', '.join([*parts, *(self.of(each, inner) for each in made)])})"

    def _class(self, node, scope):
        members = [
            f"{part.name}={self.of(part, scope)}"
            if isinstance(part, DEFINITIONS)
            else self._block([part], scope)
            for part in node.body
        ]
        parts = [self.of(base, scope) for base in node.bases] + sorted(members)
        return f"Class({', '.join(parts)})"

    def _block(self, body, scope):
        """Return the form of statements in a row; what they define is told where it is used."""
        forms, run = [], []
        for node in body:
            if isinstance(node, ast.AnnAssign) and node.value:
                node = ast.Assign([node.target], node.value)
            if _says_nothing(node):
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                scope.names |= _imported(node)
            elif isinstance(node, DEFINITIONS):
                scope.names[node.name] = "itself"
                scope.names[node.name] = _digest(self.of(node, scope))
            elif _is_simple(node):
                run.append((self.of(node, scope), node))
            else:
                forms += [*_ordered(run), self.of(node, scope)]
                run = []
        return "; ".join([*forms, *_ordered(run)])

    def _other(self, node, scope):
        """Return the form of any other node; what binds names does so after their value."""
        parts, fields = [type(node).__name__], dict(ast.iter_fields(node))
        for value, target in BOUND:
            if isinstance(fields.get(target), ast.AST | list) and value in fields:
                form = self.of(fields.pop(value), scope)
                parts.append(form)
                for each in _listed(fields[target]):
                    scope.bind_target(each, form)
        if isinstance(node, ast.ExceptHandler) and node.name:
            scope.bind(node.name, "error")
        for key, value in fields.items():
            items = _listed(value)
            if key in LEFT_OUT or not items:
                continue
            if isinstance(items[0], ast.stmt):
                parts.append(f"{key}: {self._block(items, scope)}")
            else:
                parts += [
                    self.of(item, scope) if isinstance(item, ast.AST) else repr(item)
                    for item in items
                ]
        return f"{parts[0]}({', '.join(parts[1:])})"


def _listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def _names(node: ast.AST, context: type[ast.expr_context]) -> list[str]:
    """Return the names in a tree that are read (ast.Load) or bound (ast.Store)."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return [part.id for part in names if isinstance(part.ctx, context)]


def _parameters(arguments):
    plain = [*arguments.posonlyargs, *arguments.args]
    others = [arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument.arg for argument in plain + others if argument]


def _operands(node):
    """Return the operands of a chain of one operator, such as a + b + c."""
    found, left = [], [node]
    while left:
        part = left.pop()
        if isinstance(part, ast.BinOp) and type(part.op) is type(node.op):
            left += [part.right, part.left]
        else:
            found.append(part)
    return found


def _is_simple(node):
    """Tell whether a statement gives values to plain names and does nothing else that is seen."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    named = (ast.Name, ast.Tuple, ast.List, ast.Starred)
    parts = (part for target in targets for part in ast.walk(target))
    return bool(targets) and all(isinstance(part, (*named, ast.expr_context)) for part in parts)


def _ordered(run):
    """Return the forms of assignments in a row, sorted as far as none needs another one."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    used = [(set(_names(node, ast.Load)), set(_names(node, ast.Store))) for _, node in run]
    for later, (reads, binds) in enumerate(used):
        before = (i for i, (read, bound) in enumerate(used[:later])
                  if bound & (reads | binds) or read & binds)  # fmt: skip
        sorter.add(later, *before)
    sorter.prepare()
    forms = []
    while sorter.is_active():
        ready = sorter.get_ready()
        forms += sorted(run[i][0] for i in ready)
        sorter.done(*ready)
    return forms
