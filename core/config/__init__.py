"""What to run: sections, phases and presets, valid before a process starts."""
