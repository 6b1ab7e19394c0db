"""Parts of screens that take data and know no file."""
