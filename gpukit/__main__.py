"""``python -m gpukit``: the console script ``gpukit`` of this distribution.

The toolkit imports nothing of the command line, so the script is found by its name, as an entry point would be, and
without the cost of scanning for one.
"""

import runpy
import sys

from gpukit.errors import DependencyError

SCRIPT = "gpukit_cli"

if __name__ == "__main__":
    try:
        runpy.run_module(SCRIPT, run_name="__main__")
    except ImportError as error:
        if error.name != SCRIPT:
            raise
        sys.exit(str(DependencyError("the command line of gpukit is not installed", fix="reinstall gpukit")))
