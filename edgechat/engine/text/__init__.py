"""Between messages and tokens: chat template and its sandbox, tokenizer, detokenizer, constrained decoding."""
