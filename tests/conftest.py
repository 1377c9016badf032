"""What all tests share: a cache directory of their own, so that no run sees what another one compiled; no GPU."""

import os
import tempfile

from hypothesis import settings

_folder = tempfile.TemporaryDirectory(prefix="graphc-test-")
os.environ["GRAPHC_CACHE_DIR"] = _folder.name
# The same on machines with a GPU as on those without one: tests that want one ask for the emulator.
os.environ["GRAPHC_CUDA_DRIVER"] = "none"

# The same examples on every run: a failure is found by whoever changes the code, not by chance later.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
