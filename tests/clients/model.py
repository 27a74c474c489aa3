"""A language model that plays a log-in by heart, behind OpenAI's interface: for agents whose real model is elsewhere."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JUDGED = {"reasoning": "", "verdict": True, "failure_reason": "", "impossible_task": False, "reached_captcha": False}


class Model(ThreadingHTTPServer):
    """``asked``: all that it was told, as text. It answers each question of an agent with its next step."""

    daemon_threads = True

    def __init__(self, site: str, identifier: str) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: list[str] = []
        self._steps: list[tuple[str, dict[str, Any]]] = [
            ("", {"navigate": {"url": site, "new_tab": False}}),
            ("input", {"input": {"index": 0, "text": identifier, "clear": True}}),
            ("button", {"click": {"index": 0}}),
            ("input", {"enter_code": {"index": 0}}),
            ("", {"done": {"text": "logged in", "success": True}}),
        ]

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL has to be."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The next step; to a judge that all is well."""
        self.asked.append(json.dumps(asked["messages"]))
        if "verdict" in json.dumps(asked.get("response_format", {})):
            return JUDGED
        tag, action = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if tag:
            (name,) = action
            (index,) = re.findall(rf"\[(\d+)\]<{tag}\b", self.asked[-1])[-1:]
            action = {name: {**action[name], "index": int(index)}}
        return {"thinking": "", "evaluation_previous_goal": "", "memory": "", "next_goal": "", "action": [action]}


class _Asked(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        """`/v1/chat/completions`."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": json.dumps(self.server.answer(asked))}
        answer = {
            "id": "chat",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""
