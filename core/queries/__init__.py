"""What the helper process answers, a file for each kind of question; heavy libraries are imported by the answers."""
