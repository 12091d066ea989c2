"""A server that asks, over standard streams, in the era that its first argument names.

Each tool asks as its name says and answers with what it learned. Every call that is carried out is
one line of the journal, its second argument: the tool and the argument `who`. What it heard stands
beside it, in `.heard`.
"""

import json
import os
import sys

ERA, JOURNAL = sys.argv[1:3]
FORM = {"message": "Who are you?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
URL = {"mode": "url", "message": "Sign in", "url": "https://example.org/sign"}
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "Capital?"}}],
          "maxTokens": 10}
ASKS = {
    "form": [("elicitation/create", FORM)],
    "url": [("elicitation/create", URL)],
    "sample": [("sampling/createMessage", SAMPLE)],
    "roots": [("roots/list", {})],
    "both": [("elicitation/create", FORM), ("sampling/createMessage", SAMPLE)],
    "twice": [("elicitation/create", FORM)],
    "endless": [("elicitation/create", FORM)],
}
TOOLS = [*ASKS, "watch", "visited", "tell", "wait", "log", "sign", "take_back", "die", "later"]
waiting, last, watched = {}, 0, []


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def ask(method, params, then):
    global last
    last += 1
    waiting[f"q{last}"] = then
    if method == "elicitation/create" and params.get("mode") == "url":
        params = {**params, "elicitationId": f"e{last}"}
    send({"id": f"q{last}", "method": method, "params": params})
    return f"q{last}"


def said(call, *answers):
    result = {"content": [{"type": "text", "text": json.dumps(answers)}]}
    if ERA == "modern":
        result["resultType"] = "complete"
    send({"id": call, "result": result})


def journal(name, params):
    with open(JOURNAL, "a") as file:
        file.write(f"{name} {params.get('arguments', {}).get('who', '')}\n")


def asked_by_request(call, name, asks):
    answers = [None] * len(asks)

    def answered(place):
        def take(answer):
            answers[place] = answer
            if all(answer is not None for answer in answers):
                if name == "twice":
                    ask(*asks[0], lambda second: said(call, *answers, second))
                elif name == "die":
                    sys.exit(1)
                else:
                    said(call, *answers)
        return take

    for place, (method, params) in enumerate(asks):
        ask(method, params, answered(place))


def asked_by_result(call, name, asks, params):
    state, answers = params.get("requestState"), params.get("inputResponses") or {}
    missing = {f"k{place}": {"method": method, "params": asked}
               for place, (method, asked) in enumerate(asks) if f"k{place}" not in answers}
    rounds = int(state.split()[1]) if state else 0
    if missing or name == "endless" or (name == "twice" and rounds < 2):
        missing = missing or {"k0": {"method": asks[0][0], "params": asks[0][1]}}
        result = {"resultType": "input_required", "inputRequests": missing,
                  "requestState": f"secret {rounds + 1}"}
        return send({"id": call, "result": result})
    journal(name, params)
    answers = [answers[f"k{place}"] for place in range(len(asks))]
    said(call, *answers, state) if name != "form" else said(call, *answers)


def call_tool(call, params):
    name = params["name"]
    meta = params.get("_meta", {})
    if name in ASKS:
        if ERA == "modern":
            return asked_by_result(call, name, ASKS[name], params)
        journal(name, params)
        return asked_by_request(call, name, ASKS[name])
    journal(name, params)
    if name == "tell":
        # Everything that a call can tell its caller, each with `who` in it.
        who = params["arguments"]["who"]
        send({"method": "notifications/progress", "params": {
            "progressToken": meta["progressToken"], "progress": 1, "message": who}})
        send({"method": "notifications/message", "params": {"level": "error", "data": who}})
        ask("elicitation/create", {**FORM, "message": who}, lambda answer: said(call, who, answer))
        return
    if name == "watch":
        # Asks for progress under `who`, and answers with what it was told before the answer.
        params = {**SAMPLE, "_meta": {"progressToken": params["arguments"]["who"]}}
        ask("sampling/createMessage", params, lambda answer: said(call, *watched, answer))
        return
    if name == "die":
        return asked_by_request(call, name, ASKS["form"])
    if name == "later":
        # Answers by itself, whatever becomes of the question.
        ask(*ASKS["form"][0], lambda answer: None)
        return said(call, "early")
    if name == "visited":
        # The id of the visit that is over.
        params = {"elicitationId": params["arguments"]["who"]}
        send({"method": "notifications/elicitation/complete", "params": params})
        said(call, "told")
    elif name == "wait":
        waiting["go"] = lambda answer: said(call, "waited")
    elif name == "log":
        for level in ["debug", "error"]:
            send({"method": "notifications/message", "params": {"level": level, "data": level}})
        said(call, meta.get("io.modelcontextprotocol/logLevel"), levels)
    elif name == "sign":
        data = {"elicitations": [{**URL, "elicitationId": "e"}]}
        with open(JOURNAL) as file:
            signs = file.read().count("sign")
        if signs > 1:
            return said(call, "signed")
        send({"id": call, "error": {"code": -32042, "message": "Sign in first", "data": data}})
    elif name == "take_back":
        asked = ask(*ASKS["form"][0], lambda answer: None)
        send({"method": "notifications/cancelled", "params": {"requestId": asked}})
        waiting["go"] = lambda answer: said(call, "taken back")


levels, declared = [], {}
for line in sys.stdin:
    with open(JOURNAL + ".heard", "a") as file:
        file.write(f"{os.getpid()} {line}")
    message = json.loads(line)
    if "method" not in message:
        then = waiting.pop(message["id"], None)
        if then:
            error = message.get("error") or {}
            then(message.get("result") or {"error": error.get("code")})
        continue
    method, params = message["method"], message.get("params", {})
    if method == "tools/call":
        name = params["name"]
        if name == "go":
            said(message["id"], "gone")
            waiting.pop("go")(None)
        elif name == "declared":
            caps = params.get("_meta", {}).get("io.modelcontextprotocol/clientCapabilities")
            said(message["id"], declared if caps is None else caps)
        else:
            call_tool(message["id"], params)
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}}
                 for name in [*TOOLS, "go", "declared"]]
        result = {"tools": tools}
        if ERA == "modern":
            result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        send({"id": message["id"], "result": result})
    elif method == "logging/setLevel":
        levels.append(params["level"])
        send({"id": message["id"], "result": {}})
    elif method == "server/discover" and ERA == "modern":
        send({"id": message["id"], "result": {
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "logging": {}},
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}})
    elif method == "initialize" and ERA == "legacy":
        declared = params["capabilities"]
        send({"id": message["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}},
            "serverInfo": {"name": "asking", "version": "1"}}})
    elif method == "notifications/progress":
        watched.append(params)
    elif method == "ping":
        send({"id": message["id"], "result": {}})
    elif "id" in message:
        send({"id": message["id"], "error": {"code": -32601, "message": "method not found"}})
