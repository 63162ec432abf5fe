"""GGUF files: header reader, model shape, checks before llama.cpp sees a file, quantization types and sizes."""
