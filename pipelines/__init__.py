"""One thin module per DVC stage (`python -m pipelines.<stage>`) and the `flans` command line (`cli`, `bench`), whose
longer commands have a module each. What several share is in `stage`, `commands`, `runs`, `experiments` and `sources`.
"""

import os
import sys
from types import TracebackType

from corpus.errors import InputError

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""How often PyTorch's threads look for work before they sleep, read where it is loaded. Beside one other busy process
two threads train six times as fast as by default, and in a quiet hour 1 to 3% slower (docs/figures.md, Time)."""


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What is wrong with a file that is read where its module is loaded (corpus/organs.yaml), without a traceback."""
    if isinstance(error, InputError):
        print(error, file=sys.stderr)
    else:
        _before(kind, error, trace)


_before, sys.excepthook = sys.excepthook, _say
