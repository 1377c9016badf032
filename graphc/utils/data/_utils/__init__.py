"""The parts of a loader: collating, fetching, workers."""

from graphc.utils.data._utils import collate, fetch

__all__ = ["collate", "fetch"]
