"""One thin module per DVC stage (`python -m pipelines.<stage>`) and the `flans` command line (`cli`, `bench`), whose
longer commands have a module each. What several share is in `stage`, `commands`, `runs`, `experiments` and `sources`.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""How often PyTorch's threads look for work before they sleep, read where it is loaded. Beside one other busy process
two threads train six times as fast as by default, and in a quiet hour 1 to 3% slower (docs/figures.md, Time)."""
