"""A server with extensions, over standard streams: `server.py ERA CAPABILITIES JOURNAL [ANYTHING]`.

Answers every method that it does not know with what it got. Each request and notification is one
line of the journal: the method and its parameters; as it came it stands in `.heard`. It asks for roots whenever it may.
"""

import json
import os
import sys

ERA, CAPABILITIES, JOURNAL = sys.argv[1:4]
CAPABILITIES = {"tools": {}, **json.loads(CAPABILITIES)}
KEPT = {"ttlMs": 0, "cacheScope": "private"} if ERA == "modern" else {}
declared = {}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def journal(*words):
    with open(JOURNAL, "a") as file:
        file.write(" ".join(words) + "\n")


def answer(call, result):
    send({"id": call, "result": {"resultType": "complete", **result} if ERA == "modern" else result})


def call_tool(call, params):
    answers = params.get("inputResponses")
    if answers is None and params["name"] == "where":
        return answer(call, {"resultType": "input_required", "requestState": "s",
                             "inputRequests": {"r": {"method": "roots/list"}}})
    roots = answers["r"]["roots"] if answers else None
    answer(call, {"content": [{"type": "text", "text": json.dumps([roots, params.get("requestState")])}]})


def take(call, method, params):
    if method == "initialize" and ERA == "legacy":
        declared.update(params["capabilities"])
        answer(call, {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES,
                      "serverInfo": {"name": "extended", "version": "1"}, "instructions": "Be kind."})
    elif method == "server/discover" and ERA == "modern":
        answer(call, {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES,
                      "instructions": "Be kind.", **KEPT})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ["where", "echo"]]
        answer(call, {"tools": tools, **KEPT})
    elif method == "tools/call":
        call_tool(call, params)
    elif method == "resources/read":
        answer(call, {"contents": [{"uri": params["uri"], "text": "a skill"}], **KEPT})
    elif method == "ping" and ERA == "legacy":
        answer(call, {})
    elif method in ("server/discover", "initialize"):
        send({"id": call, "error": {"code": -32601, "message": "method not found"}})
    elif method.endswith("/die"):
        sys.exit(1)
    elif method.endswith("/typed"):
        answer(call, {"resultType": "special", "n": 1})
    elif method.endswith("/notify"):
        send({"method": "notifications/skills/changed", "params": {"uri": "skill://a", "n": [1]}})
        answer(call, {})
    elif not method.endswith("/wait"):
        token = params.get("_meta", {}).get("progressToken")
        if token is not None:
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
        answer(call, {"method": method, "params": params})


for line in sys.stdin:
    with open(JOURNAL + ".heard", "a") as file:
        file.write(f"{os.getpid()} {line}")
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method is None:
        journal("roots", json.dumps(message.get("result", message.get("error"))))
        continue
    journal(method, json.dumps(params))
    if "id" in message:
        take(message["id"], method, params)
    elif method in ("notifications/initialized", "notifications/roots/list_changed"):
        if "roots" in declared:
            send({"id": "roots", "method": "roots/list"})
