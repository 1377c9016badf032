"""What runs compiled code: buffers, the JIT engine, the thread pool, the kernel cache, the program's call."""

if __name__ != "graphc.runtime":
    raise ImportError("graphc's runtime is imported as graphc.runtime")
