"""Presets that ship with Footplate."""
