"""Finding passages: dense and keyword search in parallel, fused."""
