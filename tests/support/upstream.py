"""A scripted model server for tests: what it does is said by the model's name. It is a peer on the
loopback, not a part of ours: OpenAI-shaped requests in, answers of every good and bad kind out.

Upstream   starts on a free port; .url is its base; .requests is what came in, bodies parsed
Models: echo (the last message back), say:TEXT, slow (a word each 50 ms), die (ends mid-stream),
stall (silence after the second word), garbage, error:STATUS, huge (one word of 2 MiB), drip (a byte
at a time), tools (a tool call in pieces), silent (never answers), plain (JSON although a stream was
asked for), count (another answer each time).
"""
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORD_SECONDS = 0.05


def text_of(message):
    content = message.get("content") or ""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send_whole(self, status, body, kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        names = ["echo", "slow"]
        self.send_whole(200, json.dumps(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
        ).encode())

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        upstream = self.server.upstream
        with upstream.lock:
            upstream.requests.append({"body": body, "raw": raw, "headers": dict(self.headers),
                                      "path": self.path, "ended": None})
            record = upstream.requests[-1]
        try:
            self.answer(body)
            record["ended"] = "whole"
        except OSError:
            record["ended"] = "gone"
            self.close_connection = True

    def answer(self, body):
        model = body["model"]
        if model.startswith("error:"):
            status = int(model.split(":")[1])
            self.send_whole(status, json.dumps({"error": {
                "message": f"scripted {status}", "type": "scripted", "param": None,
                "code": "scripted"}}).encode(), headers=[("Retry-After", "7")])
        elif model == "silent":
            time.sleep(30)
        elif model == "garbage":
            self.send_whole(200, b"\x00\xff<html>not JSON", "text/html")
        elif body.get("stream") and model != "plain":
            self.stream(body, self.words(body))
        else:
            choices = [self.choice(body, i) for i in range(body.get("n") or 1)]
            self.send_whole(200, json.dumps({
                "id": "chatcmpl-1", "object": "chat.completion", "model": model,
                "choices": choices,
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}).encode())

    def words(self, body):
        model = body["model"]
        if model.startswith("say:"):
            text = model[4:]
        elif model == "count":
            text = f"Answer number {next(self.server.upstream.numbers)} it is"
        elif model == "huge":
            text = "x" * (2 << 20)
        else:
            text = "You said: " + text_of(body["messages"][-1])
        return text.split(" ")

    def choice(self, body, index):
        words = self.words(body)
        message = {"role": "assistant", "content": " ".join(words)}
        if index:
            message["content"] += f" ({index})"
        if body["model"] == "tools":
            message = {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city":"Seoul"}'}}]}
        return {"index": index, "message": message,
                "finish_reason": "tool_calls" if body["model"] == "tools" else "stop"}

    def piece(self, data):
        data = data.encode()
        if self.model == "drip":
            for byte in data:
                self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
                self.wfile.flush()
        else:
            self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
            self.wfile.flush()

    def event(self, choices, **more):
        self.piece("data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk",
                                          "model": self.model, "choices": choices, **more}) + "\n\n")

    def stream(self, body, words):
        self.model = body["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.model == "tools":
            for call in ({"index": 0, "id": "call_1", "type": "function",
                          "function": {"name": "weather", "arguments": ""}},
                         {"index": 0, "function": {"arguments": '{"city":'}},
                         {"index": 0, "function": {"arguments": '"Seoul"}'}}):
                self.event([{"index": 0, "delta": {"tool_calls": [call]}}])
            words = []
        for place, word in enumerate(words):
            if self.model == "die" and place == 2:
                self.close_connection = True
                self.connection.close()
                return
            if self.model == "stall" and place == 2:
                time.sleep(30)
            if self.model == "slow":
                time.sleep(WORD_SECONDS)
            for index in range(body.get("n") or 1):
                self.event([{"index": index, "delta": {
                    "content": (" " if place else "") + word}, "finish_reason": None}])
        reason = "tool_calls" if self.model == "tools" else "stop"
        for index in range(body.get("n") or 1):
            self.event([{"index": index, "delta": {}, "finish_reason": reason}])
        if (body.get("stream_options") or {}).get("include_usage"):
            self.event([], usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
        self.piece("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        """A client that went away is part of the script."""


class Upstream:
    def __init__(self):
        self.requests, self.lock, self.numbers = [], threading.Lock(), itertools.count(1)
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.upstream = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
