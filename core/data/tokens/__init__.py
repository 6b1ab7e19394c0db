"""Documents and conversations as token ids: tokenizers, templates, labels, packing, shards."""
