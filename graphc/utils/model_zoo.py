"""graphc.utils.model_zoo: the older name of what fetches weights from the net, which graphc doesn't."""

from graphc.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
