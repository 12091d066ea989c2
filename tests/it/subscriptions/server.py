"""A server with resources that can be watched: era, transport and journal are its arguments.

Each subscription is a line of the journal: `+ URI` and `- URI` in the legacy era, `listen URIS` and
`end` in the modern one; what it heard stands beside it, in `.heard`. The tool `touch` tells of a change to whoever subscribed. Over HTTP the
port is printed first.
"""

import json
import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERA, TRANSPORT, JOURNAL = sys.argv[1:4]
MUTE = sys.argv[4:] == ["mute"]
SHY = "res://shy"
RESOURCES = ["res://one", "res://two", "res://folder/", SHY]
lock = threading.Lock()
watched, sessions = {}, {}


class Refused(Exception):
    pass


def journal(line):
    with open(JOURNAL, "a") as file:
        file.write(line + "\n")


def heard(line):
    with lock, open(JOURNAL + ".heard", "a") as file:
        file.write(f"{os.getpid()} {line}")


def listen(key, message, send):
    asked = message["params"]["notifications"]
    uris = [uri for uri in asked.get("resourceSubscriptions", []) if uri != SHY]
    meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}

    def tell(uri):
        send({"method": "notifications/resources/updated", "params": {"uri": uri, "_meta": meta}})

    with lock:
        watched[key] = (set(uris), tell)
        journal(" ".join(["listen", *sorted(uris)]))
        send({"method": "notifications/subscriptions/acknowledged",
              "params": {"_meta": meta, "notifications": {"resourceSubscriptions": uris}}})


def end(key):
    with lock:
        if watched.pop(key, None):
            journal("end")


def subscribe(key, uri, send):
    if uri == SHY:
        raise Refused(-32602, "not this one")

    def tell(uri):
        send({"method": "notifications/resources/updated", "params": {"uri": uri}})

    with lock:
        watched.setdefault(key, (set(), tell))[0].add(uri)
        journal(f"+ {uri}")
    return {}


def unsubscribe(key, uri):
    with lock:
        watched[key][0].discard(uri)
        journal(f"- {uri}")
    return {}


def touch(touched):
    with lock:
        for uris, tell in list(watched.values()):
            if any(touched == uri or (uri[-1] == "/" and touched.startswith(uri)) for uri in uris):
                tell(touched)


def call(name, who):
    if name == "touch":
        touch(who)
    held = sum(len(uris) for uris, _ in watched.values())
    said = {"touch": who, "pid": os.getpid(), "held": held}[name]
    return {"content": [{"type": "text", "text": json.dumps(said)}]}


def offered():
    return {"tools": {}, "resources": {} if MUTE else {"subscribe": True}}


def answer(message, key, send):
    method, params = message["method"], message.get("params", {})
    if method == "tools/call":
        return call(params["name"], params["arguments"].get("who"))
    if method == "tools/list":
        names = ["touch", "pid", "held"]
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}
    if method == "resources/list":
        return {"resources": [{"uri": uri, "name": uri} for uri in RESOURCES]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "res://n/{n}", "name": "n"}]}
    if method == "ping" or method == "server/discover" and ERA == "modern":
        return {"supportedVersions": ["2026-07-28"], "capabilities": offered()}
    if ERA == "legacy" and method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": offered(),
                "serverInfo": {"name": "watched", "version": "1"}}
    if ERA == "legacy" and method == "resources/subscribe":
        return subscribe(key, params["uri"], send)
    if ERA == "legacy" and method == "resources/unsubscribe":
        return unsubscribe(key, params["uri"])
    raise Refused(-32601, "method not found")


def respond(message, key, send):
    try:
        result = answer(message, key, send)
        if ERA == "modern":
            result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        return {"id": message["id"], "result": result}
    except Refused as refused:
        code, words = refused.args
        return {"id": message["id"], "error": {"code": code, "message": words}}


def wire(message):
    return json.dumps({"jsonrpc": "2.0", **message})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        message = json.loads(body)
        heard(body + "\n")
        if "id" not in message or "method" not in message:
            return self.reply(202)
        if ERA == "modern" and message["method"] == "subscriptions/listen":
            waiting, key = queue.Queue(), object()
            listen(key, message, waiting.put)
            self.stream(waiting)
            return end(key)
        session = self.headers.get("mcp-session-id")
        headers = {}
        if message["method"] == "initialize":
            session = headers["mcp_session_id"] = f"s{len(sessions)}"
            sessions[session] = queue.Queue()
        said = respond(message, session, lambda it: sessions[session].put(it))
        self.reply(200, wire(said).encode(), **headers)

    def do_GET(self):
        self.stream(sessions[self.headers["mcp-session-id"]])

    def do_DELETE(self):
        self.reply(200)

    def stream(self, waiting):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                try:
                    line = f"data: {wire(waiting.get(timeout=0.05))}\n\n"
                except queue.Empty:
                    line = ": still here\n\n"
                self.wfile.write(line.encode())
                self.wfile.flush()
        except OSError:
            pass


def say(message):
    sys.stdout.write(wire(message) + "\n")
    sys.stdout.flush()


if TRANSPORT == "http":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
for line in sys.stdin:
    heard(line)
    message = json.loads(line)
    if message.get("method") == "notifications/cancelled":
        end(message["params"]["requestId"])
    elif "id" in message and message.get("method") == "subscriptions/listen" and ERA == "modern":
        listen(message["id"], message, say)
    elif "id" in message:
        say(respond(message, "stdio", say))
