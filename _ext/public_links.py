"""Show the buttons that need a public address only when there is one.

`repository.url` in `_config.yml` is the single switch. Left empty, jupyter-book refuses the
repository buttons and the theme fails on the launch buttons, so neither may be asked for;
filled in, the readers should get all of them.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config


def choose_buttons(app: Sphinx, config: Config) -> None:
    """Turn the repository and launch buttons on, or all off when no repository is known."""
    options = config.html_theme_options
    has_address = bool(options.get("repository_url"))
    for button in ("use_repository_button", "use_edit_page_button", "use_issues_button"):
        options[button] = has_address
    if not has_address:
        options["launch_buttons"] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the choice with Sphinx."""
    app.connect("config-inited", choose_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
