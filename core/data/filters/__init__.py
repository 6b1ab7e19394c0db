"""Small pure units, each of which keeps, changes or drops one document."""
