"""Kafka's own faults, under a running relay: real brokers that are killed, frozen, emptied, and that deny."""
