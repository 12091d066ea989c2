// npm @modelcontextprotocol/inspector: its command line, which does one thing at a time.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { report, task } from "./task.mjs";

const program = fileURLToPath(new URL("../node_modules/.bin/mcp-inspector", import.meta.url));
// It keeps files below the home directory; this one is its own.
const home = await mkdtemp(join(tmpdir(), "inspector-"));

async function inspect(...args) {
  const words = ["--cli", "--transport", "http", "--server-url", task.url];
  words.push("--protocol-era", task.mode, "--format", "json", "--quiet", "--method", ...args);
  const env = { ...process.env, HOME: home };
  const { stdout } = await promisify(execFile)(program, words, { env });
  return JSON.parse(stdout).result;
}

async function call(name, args) {
  const words = ["--tool-name", name, "--tool-args-json", JSON.stringify(args)];
  return (await inspect("tools/call", ...words)).content[0].text;
}

try {
  report("@modelcontextprotocol/inspector", {
    protocol: (await inspect("initialize")).protocolVersion,
    tools: (await inspect("tools/list")).tools.map((tool) => tool.name),
    echo_legacy: await call("everything_echo", { message: task.text }),
    echo_modern: await call("demo_echo", { text: task.text }),
  });
} finally {
  await rm(home, { recursive: true });
}
