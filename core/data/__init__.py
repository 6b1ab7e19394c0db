"""From sources to documents to token ids on disk."""
