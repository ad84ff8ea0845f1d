"""An OpenAI-compatible server in a process of its own, which decodes the images it is sent.

It answers with their number, size and mean gray level, so that a test sees what arrived. `POST
/plan` takes a list of behaviours, one for each request to come; after them it behaves well. `GET
/log` returns the requests. The port is printed when it listens.
"""

import base64
import io
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

LOCK = threading.Lock()
PLAN: list[str] = []
LOG: list[dict] = []


def pictures_of(content: list[dict]) -> list[np.ndarray]:
    images = []
    for part in content:
        if part["type"] == "image_url":
            head, data = part["image_url"]["url"].split(",", 1)
            assert head == "data:image/jpeg;base64"
            images.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
    return images


def words_of(content: list[dict]) -> str:
    return "\n".join(part["text"] for part in content if part["type"] == "text")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, LOG)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/plan":
            with LOCK:
                PLAN[:] = body
                LOG.clear()
            self.answer(200, {})
            return
        with LOCK:
            behaviour = PLAN.pop(0) if PLAN else "good"
        content = body["messages"][0]["content"]
        settings = {key: value for key, value in body.items() if key != "messages"}
        log = {"path": self.path, "key": self.headers["Authorization"], "behaviour": behaviour}
        log |= {"words": words_of(content), "settings": settings, "at": time.monotonic()}
        with LOCK:
            LOG.append(log)
        self.behave(behaviour, body, pictures_of(content))

    def behave(self, behaviour: str, body: dict, pictures: list[np.ndarray]) -> None:
        name, _, value = behaviour.partition(":")
        if name.isdigit():
            headers = {"Retry-After": value} if value else {}
            self.answer(int(name), {"error": {"message": f"planned status {name}"}}, headers)
        elif name == "redirect":
            self.answer(307, {}, {"Location": value})
        elif name == "coloured":  # refuses pictures that are not grey
            grey = all(picture.std() < 1 for picture in pictures)
            self.answer(200 if grey else 400, self.completion(body, pictures))
        elif name == "slow":
            time.sleep(float(value))
            self.answer(200, self.completion(body, pictures))
        elif name == "cut":
            self.answer(200, self.completion(body, pictures), cut=20)
        elif name == "broken":
            self.answer(200, None, text=value or '{"choices": [{"mess')
        else:
            self.answer(200, self.completion(body, pictures, name, value))

    def completion(self, body, pictures, behaviour="good", value=""):
        light = float(np.mean([picture.mean() for picture in pictures])) if pictures else 0.0
        if "response_format" in body:
            schema = body["response_format"]["json_schema"]["schema"]
            text = json.dumps(dict.fromkeys(schema["required"], round(light / 255, 3)))
        elif pictures:
            height, width, _ = pictures[0].shape
            text = f"{len(pictures)} pictures, {width} x {height}, gray {light:.0f}."
        else:
            text = f"Anew: {words_of(body['messages'][0]['content']).splitlines()[2]}"
        reason = {"length": "length", "filter": "content_filter"}.get(behaviour, "stop")
        if behaviour in ("says", "length"):
            text = value
        completion = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                             "finish_reason": reason}]}  # fmt: skip
        if behaviour != "uncounted":
            completion["usage"] = {
                "prompt_tokens": 100 * len(pictures) + 10,
                "completion_tokens": 7,
            }
        return completion

    def answer(self, status, completion, headers=None, *, cut=0, text=None):
        body = (json.dumps(completion) if text is None else text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) - cut])
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()
