"""One file a group of subcommands."""
