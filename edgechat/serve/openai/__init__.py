"""OpenAI's request and reply formats, tools, and the OpenAPI description."""
