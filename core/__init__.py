"""Footplate without its console: configuration, runs, data, models and training."""
