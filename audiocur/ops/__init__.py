"""The operators, one a file, grouped by kind as conf/ is."""
