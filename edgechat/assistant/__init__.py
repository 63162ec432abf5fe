"""The Python API: one object that answers, streams, runs tasks and returns JSON that fits a schema.

The one place that knows the whole chain from a question to the engine; front ends with needs of their own go below it.
"""

from edgechat.assistant.asynchronous import AsyncAssistant
from edgechat.assistant.blocking import Answer, Assistant

__all__ = ["Answer", "Assistant", "AsyncAssistant"]
