"""The grader's commands with a sandbox that starts at once."""

import pytest
from grading_support import Light, need_bubblewrap

import regbook.grading.sandbox as sandbox_module
from regbook.grading import batch


@pytest.fixture
def light_grader(monkeypatch):
    """Let the commands of this process grade without the frameworks."""
    need_bubblewrap()
    monkeypatch.setattr(batch, "Sandbox", Light)
    monkeypatch.setattr(sandbox_module, "Sandbox", Light)
