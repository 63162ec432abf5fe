"""The cells of the KV cache: allocation, prefix sharing, eviction, swap to memory, and prefixes on disk."""
