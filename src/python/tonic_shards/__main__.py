"""The program tonic-prep: python -m tonic_shards info DIR."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from . import _native


def main() -> NoReturn:
    """Runs tonic-prep with the arguments of the command line, and ends Python with the program's exit code."""
    name = os.path.basename(sys.argv[0])
    words = ["python -m tonic_shards" if name == "__main__.py" else name, *sys.argv[1:]]
    sys.stdout.flush()
    sys.exit(_native.main(words))


if __name__ == "__main__":
    main()
