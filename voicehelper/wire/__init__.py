"""HTTP bodies and server-sent events. Imports nothing of ours."""
