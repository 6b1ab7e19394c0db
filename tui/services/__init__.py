"""What the console reads from run directories and the machine."""
