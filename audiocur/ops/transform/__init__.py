"""What opens recordings and stores clips."""
