"""What a model is worth: perplexity of texts."""
