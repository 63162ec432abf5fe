"""Measurements beside ``scripts/bench``: memory, latency, throughput, and checks of answers against llama.cpp."""
