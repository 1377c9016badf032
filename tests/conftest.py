"""What all tests share: a cache directory of their own, so that no run sees what another one compiled."""

import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="graphc-test-")
os.environ["GRAPHC_CACHE_DIR"] = _folder.name
