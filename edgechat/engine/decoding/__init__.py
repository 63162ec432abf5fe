"""The decode loop: request queue, scheduler, sequences, prefill, speculative decoding, and the loaded model."""
