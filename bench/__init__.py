"""Throughput and cost, as ratios of one run: a figure by itself says more of the machine than of the code."""
