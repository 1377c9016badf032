"""Graph to graph, and graph to kernel."""

if __name__ != "graphc.passes":
    raise ImportError("graphc's passes are imported as graphc.passes")
