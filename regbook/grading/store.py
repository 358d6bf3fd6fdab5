"""What a report keeps: its seed, and each result as soon as it is there, so that it can resume."""

import contextlib
import hashlib
import json
import secrets
from pathlib import Path

import regbook
from regbook.grading.pages import feedback, feedback_path
from regbook.grading.report import write_whole
from regbook.grading.results import Result


def checks_version() -> str:
    """Return a digest of the code that decides about points."""
    package = Path(regbook.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Store:
    """The results of a report, one file each, named by what decides about them.

    That is: the submission's bytes, the seed, the level of isolation and the code of the checks.
    So an unchanged submission is found again, and a changed one is not.
    """

    def __init__(self, out: Path, seed: int | None, level: str) -> None:
        """out: the folder. seed: None takes that of the report to resume, else a new one."""
        self.out, self.seed, self.level = out, _seed(out, seed), level
        self._start = f"{checks_version()} {self.seed} {level}\n".encode()

    def _path(self, data):
        return self.out / "results" / f"{hashlib.sha256(self._start + data).hexdigest()}.json"

    def load(self, data: bytes) -> Result | None:
        """Return the stored result of a submission's bytes, or None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(self._path(data).read_text(encoding="utf-8"))
        return None

    def save(self, name: str, data: bytes, result: Result) -> None:
        """Store a result and write its feedback page."""
        write_whole(self._path(data), json.dumps(result))
        self.tell(name, result)

    def tell(self, name: str, result: Result) -> None:
        """Write the feedback page of a submission."""
        write_whole(feedback_path(self.out, name), feedback(name, result))


def _seed(out, seed):
    path = out / "seed"
    with contextlib.suppress(FileNotFoundError, ValueError):
        seed = int(path.read_text()) if seed is None else seed
    seed = secrets.randbelow(2**31) if seed is None else seed
    write_whole(path, f"{seed}\n")
    return seed
