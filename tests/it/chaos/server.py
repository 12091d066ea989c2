"""A scripted MCP server over standard input and output, in one era, that obeys orders.

    server.py FOLDER legacy|modern

FOLDER/journal gets a line for each start, listing and execution, written before anything is
answered, so that it outlives the process. FOLDER/heard gets what it hears. FOLDER/birth, if there is one, says what becomes of a new
process. SIGUSR1 makes it read and carry out FOLDER/order. FOLDER/extra, if there, adds a tool.
"""

import json
import os
import signal
import sys
import threading
import time

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
folder, modern = sys.argv[1], sys.argv[2] == "modern"
journal = os.open(os.path.join(folder, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
voice = threading.Lock()
mute_until = 0.0


def note(*words):
    os.write(journal, " ".join(str(word) for word in (*words, time.time_ns())).encode() + b"\n")


def told(name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def put(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]


def say(message):
    with voice:
        time.sleep(max(0.0, mute_until - time.monotonic()))
        try:
            put(json.dumps(message).encode() + b"\n")
        except OSError:
            pass


def flood():
    chatter = {"level": "info", "data": "x" * 100}
    for _ in range(3000):
        say({"jsonrpc": "2.0", "method": "notifications/message", "params": chatter})
    chatter["data"] = "x" * 1_000_000
    say({"jsonrpc": "2.0", "method": "notifications/message", "params": chatter})


def obey():
    global mute_until
    while True:
        signal.sigwait({signal.SIGUSR1})
        match told("order"):
            case ["hang", seconds]:
                mute_until = time.monotonic() + float(seconds)
            case ["garbage"]:
                with voice:
                    put(b"Traceback (most recent call last):\n\xff\xfe\x00\n{\"jsonrpc\":\n[]\n\n{}\n")
            case ["truncate"]:
                with voice:
                    put(b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"te')
                os._exit(5)
            case ["close"]:
                with voice:
                    os.close(1)
            case ["flood"]:
                flood()
            case ["change"]:
                say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})


def work(request):
    arguments = request["params"]["arguments"]
    note("ran", arguments["number"])
    time.sleep(arguments["work"] / 1000)
    text = f"did {arguments['number']}"
    answer(request, {"content": [{"type": "text", "text": text}]})


def answer(request, result):
    if modern:
        result["resultType"] = "complete"
    say({"jsonrpc": "2.0", "id": request["id"], "result": result})


def serve(request):
    match request.get("method"):
        case "server/discover" if modern:
            answer(request, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
        case "initialize" if not modern:
            server = {"name": "scripted", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            answer(request, {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": server})
        case "tools/list":
            names = ["act", "get_act"] + (["extra"] if os.path.exists(os.path.join(folder, "extra")) else [])
            answer(request, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})
            note("listed", os.getpid())
        case "tools/call":
            threading.Thread(target=work, args=(request,), daemon=True).start()
        case "ping":
            answer(request, {})
        case method:
            error = {"code": -32601, "message": f"no method {method}"}
            say({"jsonrpc": "2.0", "id": request["id"], "error": error})


note("started", os.getpid())
match told("birth"):
    case ["slow", seconds]:
        time.sleep(float(seconds))
    case ["crash"]:
        sys.exit(3)
threading.Thread(target=obey, daemon=True).start()
heard = os.open(os.path.join(folder, "heard"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for line in sys.stdin:
    os.write(heard, f"{os.getpid()} {line}".encode())
    message = json.loads(line)
    if "id" in message and "method" in message:
        serve(message)
os._exit(0)
