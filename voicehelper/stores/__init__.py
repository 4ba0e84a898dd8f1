"""One file per driver. The only place that talks to an engine."""
