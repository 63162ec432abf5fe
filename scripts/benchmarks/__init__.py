"""The benchmarks behind ``scripts/bench``: ours and llama.cpp's own tools, alternately, in one run on one machine."""
