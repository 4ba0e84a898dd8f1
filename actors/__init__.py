"""Plain classes that hold one model and implement one port. No ray, no fastapi."""
