"""HTTP bodies and SSE events; nothing else."""
