"""What takes longer than a check may: `make soak`."""
