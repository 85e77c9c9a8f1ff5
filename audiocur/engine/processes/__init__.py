"""What Ray starts as processes of their own in an instance of ours: scripts, which it runs by their paths."""
