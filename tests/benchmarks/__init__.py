"""What Footplate costs: measured beside bare loops and other trainers, in one run on one machine."""
