"""Write the reference of the Python API, from the docstrings, to a folder.

    python scripts/api_docs.py build/api-docs

`lifelong` loads what it exports when it is first used; pdoc looks only at what is there, so it is loaded first. A name
that is exported and cannot be found is an error.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import lifelong

MODULES = ("lifelong", "lifelong.workspace", "lifelong.results", "editlog", "policies")


def main(folder: str) -> None:
    """Write the pages of all modules of the three packages."""
    for name in lifelong.__all__:
        setattr(lifelong, name, getattr(lifelong, name))
    warnings.filterwarnings("error", message=".*does not resolve")
    pdoc.pdoc(*MODULES, output_directory=Path(folder))


if __name__ == "__main__":
    main(sys.argv[1])
