"""Where records come from: what a file or a folder is, its parts, and the stream of its documents or rows."""
