"""How any phase optimises."""
