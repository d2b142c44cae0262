"""The shop, and the demonstrations that kill it and count."""
