"""The Ray Serve graph: `app` builds it, every other file is a thin shim around a plain class."""
