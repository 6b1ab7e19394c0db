"""From raw sources to clean items on disk: units of work, passes over them, and the report."""
