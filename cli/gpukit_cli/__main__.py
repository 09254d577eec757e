"""``python -m gpukit_cli``, and through `gpukit.__main__` also ``python -m gpukit``."""

import sys

from gpukit_cli.main import main

sys.exit(main())
