"""What all tests share: a cache directory of their own, so that no run sees what another one compiled."""

import os
import tempfile

from hypothesis import settings

_folder = tempfile.TemporaryDirectory(prefix="graphc-test-")
os.environ["GRAPHC_CACHE_DIR"] = _folder.name

# The same examples on every run: a failure is found by whoever changes the code, not by chance later.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
