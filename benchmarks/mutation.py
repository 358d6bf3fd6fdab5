"""How many small mistakes in a reference solution do the checks notice?

    python benchmarks/mutation.py [--chapter SLUG] [--neighbours] [seed ...]

Each graded function of `solutions/` (or of one chapter) is changed in one place at a time: an
operator, a constant, an axis, a dropped term, swapped arguments or results, a turned condition,
another dtype. A change that still earns full marks under every seed survives: a hole in the
checks. Then the exit status is 1.
A change that makes a loop endless is stopped and counts as rejected. Where every answer is
an integer or an array of them, truncating it to integers is no change and is left out. So is an
exercise of which many neighbouring answers are right: see BY_RESULT.

`--neighbours` takes the finer changes instead: a threshold that includes its border or not, a
constant a tenth away, the least for the greatest, the first for the last, one loop less, results
rounded to two digits. It lists each that earns full marks under *any* seed, and is for a reader:
some of them change nothing that the exercise asks for.
"""

import argparse
import ast
import copy
import functools
import signal
import sys
import warnings
from pathlib import Path

import numpy as np

from regbook.exercise import Stopped, load_chapter
from regbook.notebooks import function_sources

ROOT = Path(__file__).parents[1]
SECONDS = 60
# Graded by what they reach: a width of 65 is as good an answer as one of 64, Bonferroni's
# correction as good as Holm's, 51 test inputs as good as 50, and a first layer that starts with
# twice the variance trains as well.
BY_RESULT = {
    "fair_comparison", "my_recipe", "is_affine", "start_thirty_layers", "audit_gradients",
}  # fmt: skip

SWAPS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
}


def variants(node):
    """Yield each small change of one syntax node, as a new node."""
    if isinstance(node, ast.BinOp):
        for operator in SWAPS.get(type(node.op), []):
            yield ast.BinOp(node.left, operator(), node.right)
        yield node.left
        yield node.right
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow) and not hasattr(node, "squared"):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (node.value + 1, node.value - 1, 2 * node.value, node.value / 2):
            if value != node.value:
                yield ast.Constant(value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare):
        yield ast.UnaryOp(ast.Not(), node)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        for i in range(len(node.elts) - 1):
            order = list(node.elts)
            order[i], order[i + 1] = order[i + 1], order[i]
            yield ast.Tuple(order, node.ctx)
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            rest = node.keywords[:i] + node.keywords[i + 1 :]
            yield ast.Call(node.func, node.args, rest)
            if keyword.arg == "axis":
                other = ast.keyword("axis", ast.Constant(int(ast.unparse(keyword.value) != "1")))
                yield ast.Call(node.func, node.args, [*rest, other])
        if len(node.args) > 1:
            first, second, *others = node.args
            yield ast.Call(node.func, [second, first, *others], node.keywords)
        if node.args and not isinstance(node.args[0], ast.GeneratorExp | ast.List):
            yield node.args[0]
        if isinstance(node.func, ast.Attribute) and not node.args:
            yield node.func.value
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.parse(f"np.int64({ast.unparse(node.value)})", mode="eval").body)


BORDERS = {ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.GtE}
OTHERS = {"min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "mean": "median",
          "std": "var", "floor": "ceil", "ceil": "round", "round": "floor"}  # fmt: skip


def neighbours(node):
    """Yield each finer change of one syntax node, as a new node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in BORDERS:
        border = BORDERS[type(node.ops[0])]()
        yield ast.Compare(node.left, [border, *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (node.value * 0.9, node.value * 1.1, -1 if node.value == 0 else 0):
            yield ast.Constant(value)
    elif isinstance(node, ast.Attribute) and node.attr in OTHERS:
        yield ast.Attribute(node.value, OTHERS[node.attr], node.ctx)
    elif isinstance(node, ast.Name) and node.id in OTHERS:
        yield ast.Name(OTHERS[node.id], node.ctx)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        yield ast.Subscript(node, ast.Slice(ast.Constant(1)), ast.Load())
        yield ast.Subscript(node, ast.Slice(upper=ast.Constant(-1)), ast.Load())
    elif isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.parse(f"np.round({ast.unparse(node.value)}, 2)", mode="eval").body)


class Change(ast.NodeTransformer):
    """Replace the `count`-th variant of the whole tree."""

    def __init__(self, count, kind):
        self.left, self.kind = count, kind

    def visit(self, node):
        for variant in self.kind(node):
            if self.left == 0:
                self.left = -1
                return variant
            self.left -= 1
        return self.generic_visit(node) if self.left >= 0 else node


def mutants(source, kind=variants):
    """Yield the source of every mutant of one function, its docstring left alone.

    kind: `variants` or `neighbours`.
    """
    tree = ast.parse(source)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef))
    function.body = function.body[1:]
    for node in ast.walk(function):  # (a - b)**2 is (b - a)**2
        if isinstance(node, ast.BinOp) and ast.unparse(node).endswith(") ** 2"):
            node.left.squared = True
    count = 0
    while True:
        changed = copy.deepcopy(function)
        change = Change(count, kind)
        changed.body = [change.visit(statement) for statement in changed.body]
        if change.left >= 0:
            return
        yield ast.unparse(ast.fix_missing_locations(changed))
        count += 1


def stop(*_):
    """End a mutant that has run for too long."""
    raise Stopped(f"it ran for {SECONDS} s")


def full_marks(chapter, name, source, seeds, how=all):
    """Tell whether a mutant earns full marks under all seeds, or under `any`."""
    space = {"np": np}
    exec(source, space)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    reports = (chapter.report(space[name], exercise=name, seed=seed) for seed in seeds)
    full = how(report.points == report.max_points for report in reports)
    signal.alarm(0)
    return full


def answers_integers(chapter, name, source, seeds):
    """Tell whether every answer of a solution is an integer or an array of integers."""
    space, kinds = {"np": np}, set()
    exec(source, space)

    @functools.wraps(space[name])
    def recorded(*arguments):
        result = space[name](*arguments)
        whole = isinstance(result, int | np.integer | np.ndarray)
        kinds.add(np.asarray(result).dtype.kind if whole else "another type")
        return result

    for seed in seeds:
        chapter.report(recorded, exercise=name, seed=seed)
    return kinds == {"i"}


def graded_functions(pattern):
    """Yield (chapter, name, source) of every graded function of the chapters that match a pattern.

    Ends the program when a solution lacks one: it could not be changed, and no hole be seen.
    """
    for path in sorted(ROOT.glob(f"solutions/{pattern}.ipynb")):
        chapter, sources = load_chapter(path.stem), function_sources(path)
        for name in (name for name in chapter.exercises if name not in BY_RESULT):
            if name not in sources:
                sys.exit(f"{path.relative_to(ROOT)} has no cell that begins with `def {name}(`")
            yield chapter, name, sources[name]


def main(chapter, seeds, finer):
    """Print the score of each exercise and every survivor; return the exit status."""
    kind, how = (neighbours, any) if finer else (variants, all)
    warnings.simplefilter("ignore")
    survived, total = 0, 0
    for graded, name, solution in graded_functions(chapter):
        if not full_marks(graded, name, solution, seeds):
            sys.exit(f"{name}: the solution itself does not earn full marks")
        sources = list(mutants(solution, kind))
        if answers_integers(graded, name, solution, seeds):
            sources = [s for s in sources if "return np.int64(" not in s]
        survivors = [s for s in sources if full_marks(graded, name, s, seeds, how)]
        print(f"{name}: {len(sources) - len(survivors)} of {len(sources)} rejected")
        print(*(f"--- survived\n{source}\n" for source in survivors), sep="", end="")
        survived, total = survived + len(survivors), total + len(sources)
    print(f"{total - survived} of {total} mutants rejected")
    return int(survived > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--chapter", default="*")
    parser.add_argument("--neighbours", action="store_true")
    parser.add_argument("seeds", type=int, nargs="*")
    options = parser.parse_args()
    sys.exit(main(options.chapter, options.seeds or [0, 1, 2], options.neighbours))
