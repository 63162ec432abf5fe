"""The Python API: one object that answers, streams, runs tasks, and returns JSON that fits a schema."""

from edgechat.assistant.answer import Answer
from edgechat.assistant.asynchronous import AsyncAssistant
from edgechat.assistant.blocking import Assistant
from edgechat.assistant.tools import Tool, ToolCall

__all__ = ["Answer", "Assistant", "AsyncAssistant", "Tool", "ToolCall"]
