"""What graphc is built on, as text.

>>> print(show().splitlines()[0])
graphc built with:
"""

import sys

import llvmlite
import numpy

from graphc.runtime.threads import get_num_threads
from graphc.version import graphc as version


def show() -> str:
    """The versions of graphc and of what it runs on, one a line."""
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        (
            "graphc built with:",
            f"  - graphc {version}",
            f"  - llvmlite {llvmlite.__version__}",
            f"  - numpy {numpy.__version__}",
            f"  - Python {python}",
            "",
        )
    )


def parallel_info() -> str:
    """The number of threads."""
    return f"graphc/threads:\n\tget_num_threads() : {get_num_threads()}\n"
