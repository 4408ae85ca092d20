"""Keep correcting a language model: `lifelong.init(home)`, then `lifelong.open(home)` and its verbs.

`lifelong.bench(file)` measures a recipe on a stream of edits, and needs no workspace.

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelong.benching.run import bench
    from lifelong.config import recipes
    from lifelong.verbs.founding import init
    from lifelong.workspace import Workspace
    from lifelong.workspace import open_workspace as open

__version__ = "0.1.0"
__all__ = ["Workspace", "__version__", "bench", "init", "open", "recipes"]

_HOME_OF = {
    "Workspace": ("lifelong.workspace", "Workspace"),
    "bench": ("lifelong.benching.run", "bench"),
    "init": ("lifelong.verbs.founding", "init"),
    "open": ("lifelong.workspace", "open_workspace"),
    "recipes": ("lifelong.config", "recipes"),
}


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'lifelong' has no attribute {name!r}") from None
    from importlib import import_module

    return getattr(import_module(module), attribute)
