"""Which model file, plan and device an engine loads; the benchmark; what the llama.cpp build can do."""
