"""One file a phase; none imports another."""
