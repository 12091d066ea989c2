"""A server that makes tasks of calls, over standard streams, in the era that its first argument names.

Its tasks outlive it in a file, its second argument; its third is a journal with a line for each call that
it carried out, each task given up and each answer; what it heard stands beside it, in `.heard`. A task works until it was asked for twice, then it
becomes what its tool says.
"""

import json
import os
import sys

ERA, STATE, JOURNAL = sys.argv[1:4]
MODERN = ERA == "modern"
EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
FORM = {"message": "Who are you?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
# What each tool's tasks come to, and whether it is called as a task or not at all.
TOOLS = {"may": ("completed", False), "must": ("completed", True), "asks": ("input_required", True),
         "fails": ("failed", True), "never": ("working", True)}
tasks = json.load(open(STATE)) if os.path.exists(STATE) else {}
waiting, last = {}, 0
listens = {}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def result(call, **members):
    send({"id": call, "result": {**members, **({"resultType": "complete"} if MODERN else {})}})


def error(call, code, message, **data):
    send({"id": call, "error": {"code": code, "message": message, **({"data": data} if data else {})}})


def journal(*words):
    with open(JOURNAL, "a") as file:
        file.write(" ".join(words) + "\n")


def keep():
    """Whole or not at all: the life that is to take over reads it while this one writes."""
    written = f"{STATE}.{os.getpid()}"
    with open(written, "w") as file:
        json.dump(tasks, file)
    os.replace(written, STATE)


def shown(name):
    task = tasks[name]
    ttl, interval = ("ttlMs", "pollIntervalMs") if MODERN else ("ttl", "pollInterval")
    return {"taskId": name, "status": task["status"], "statusMessage": f"is {task['status']}",
            "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:01Z",
            ttl: 60000, interval: 100}


def announce(name):
    """Tells of a task whoever is to be told: in the modern era who listens to it."""
    if not MODERN:
        return send({"method": "notifications/tasks/status", "params": shown(name)})
    for call, names in listens.items():
        if name in names:
            send({"method": "notifications/tasks", "params": {
                **shown(name), "result": content(tasks[name]),
                "_meta": {"io.modelcontextprotocol/subscriptionId": call, "own/key": 1}}})


def listen(call, params, declared):
    names = params["notifications"].get("taskIds", [])
    if names and EXTENSION not in declared.get("extensions", {}):
        return error(call, -32021, "tasks only", requiredCapabilities={"extensions": {EXTENSION: {}}})
    listens[call] = names
    journal("listen", *(tasks[name]["tool"] for name in names))
    send({"method": "notifications/subscriptions/acknowledged", "params": {
        "_meta": {"io.modelcontextprotocol/subscriptionId": call}, "notifications": {"taskIds": names}}})


def content(task):
    return {"content": [{"type": "text", "text": json.dumps(task["answers"])}]}


def call_tool(call, params, declared):
    global last
    tool = params["name"]
    if tool == "forget":
        tasks.clear()
        keep()
        return result(call, content=[])
    if tool == "finish":
        for name, task in tasks.items():
            if task["status"] == "working":
                task["status"] = "completed"
            announce(name)
        keep()
        return result(call, content=[])
    as_task = EXTENSION in declared.get("extensions", {}) if MODERN else "task" in params
    if not as_task and TOOLS[tool][1]:
        if MODERN:
            return error(call, -32021, "tasks only", requiredCapabilities={"extensions": {EXTENSION: {}}})
        return result(call, content=[{"type": "text", "text": "tasks only"}], isError=True)
    journal(tool)
    if not as_task:
        return result(call, content=[{"type": "text", "text": '"at once"'}])
    name = f"own-{os.getpid()}-{len(tasks)}"
    tasks[name] = {"tool": tool, "status": "working", "asked": 0, "answers": []}
    keep()
    if MODERN:
        send({"id": call, "result": {"resultType": "task", **shown(name)}})
    else:
        result(call, task=shown(name))


def get(call, name, task):
    task["asked"] += 1
    if task["status"] == "working" and task["asked"] > 2:
        task["status"] = "completed" if task["answers"] else TOOLS[task["tool"]][0]
    keep()
    told = shown(name)
    if MODERN and task["status"] == "input_required":
        told["inputRequests"] = {"who": {"method": "elicitation/create", "params": FORM}}
    elif MODERN and task["status"] == "completed":
        told["result"] = content(task)
    elif MODERN and task["status"] == "failed":
        told["error"] = {"code": -7, "message": "it broke"}
    result(call, **told)


def outcome(call, name, task):
    """The legacy era's answer, which waits for what the task wants to know."""
    global last
    related = {"_meta": {RELATED: {"taskId": name}}}
    if task["status"] == "input_required":
        def answered(answer):
            task.update(status="completed", answers=[answer])
            keep()
            result(call, **content(task), **related)
        last += 1
        waiting[f"q{last}"] = answered
        return send({"id": f"q{last}", "method": "elicitation/create", "params": {**FORM, **related}})
    if task["status"] == "failed":
        return error(call, -7, "it broke")
    result(call, **content(task), **related)


def about_task(call, method, params, declared):
    if MODERN and EXTENSION not in declared.get("extensions", {}):
        return error(call, -32021, "tasks only", requiredCapabilities={"extensions": {EXTENSION: {}}})
    name = params["taskId"]
    task = tasks.get(name)
    if task is None:
        return error(call, -32602, "no such task")
    if method == "tasks/get":
        get(call, name, task)
    elif method == "tasks/result":
        outcome(call, name, task)
    elif method == "tasks/cancel":
        journal("cancel", task["tool"])
        task["status"] = "cancelled"
        keep()
        result(call, **({} if MODERN else shown(name)))
    elif method == "tasks/update":
        journal("update", task["tool"])
        task.update(status="working", answers=list(params["inputResponses"].values()))
        keep()
        result(call)


for line in sys.stdin:
    with open(JOURNAL + ".heard", "a") as file:
        file.write(f"{os.getpid()} {line}")
    message = json.loads(line)
    if "method" not in message:
        then = waiting.pop(message["id"], None)
        if then:
            then(message.get("result"))
        continue
    method, params = message["method"], message.get("params", {})
    declared = params.get("_meta", {}).get("io.modelcontextprotocol/clientCapabilities", {})
    if method == "tools/call":
        call_tool(message["id"], params, declared)
    elif method.startswith("tasks/"):
        about_task(message["id"], method, params, declared)
    elif method == "tools/list":
        supports = {False: "optional", True: "required"}
        tools = [{"name": name, "inputSchema": {"type": "object"},
                  **({} if MODERN else {"execution": {"taskSupport": supports[must]}})}
                 for name, (_, must) in TOOLS.items()]
        tools += [{"name": name, "inputSchema": {"type": "object"}} for name in ("forget", "finish")]
        result(message["id"], tools=tools, **({"ttlMs": 0, "cacheScope": "private"} if MODERN else {}))
    elif method == "server/discover" and MODERN:
        result(message["id"], supportedVersions=["2026-07-28"], ttlMs=0, cacheScope="private",
               capabilities={"tools": {}, "extensions": {EXTENSION: {}}})
    elif method == "initialize" and not MODERN:
        result(message["id"], protocolVersion="2025-11-25", serverInfo={"name": "tasks", "version": "1"},
               capabilities={"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}})
    elif method == "ping":
        result(message["id"])
    elif method == "subscriptions/listen":
        listen(message["id"], params, declared)
    elif method == "notifications/cancelled":
        if listens.pop(params["requestId"], None):
            journal("unlisten")
    elif "id" in message:
        error(message["id"], -32601, "method not found")
