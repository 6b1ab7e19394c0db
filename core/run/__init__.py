"""Where a run lives and how processes talk about it."""
