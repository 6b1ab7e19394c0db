"""One module for each way in which records are written down."""
