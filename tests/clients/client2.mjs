// npm @modelcontextprotocol/client 2, in each of its ways to negotiate.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { answers, capabilities, complete, fillIn, report, task } from "./task.mjs";

let tell;
const told = new Promise((resolve) => (tell = resolve));
const client = new Client(
  { name: "it", version: "1" },
  {
    capabilities,
    versionNegotiation: { mode: task.mode },
    listChanged: task.watch && { tools: { onChanged: tell } },
  },
);
if (task.answers) {
  client.setRequestHandler("elicitation/create", fillIn);
  client.setRequestHandler("sampling/createMessage", complete);
}

function transport() {
  if (task.command) {
    const [command, ...args] = task.command;
    return new StdioClientTransport({ command, args });
  }
  const requestInit = { headers: task.headers };
  return new StreamableHTTPClientTransport(new URL(task.url), { requestInit });
}
await client.connect(transport());

const call = async (name, args) =>
  (await client.callTool({ name, arguments: args })).content[0].text;

const seen = { protocol: client.getNegotiatedProtocolVersion() };
if (task.watch) {
  await call("grower_grow", task.watch);
  await told;
} else if (task.answers) {
  seen.answers = await answers(call);
} else {
  seen.echo_legacy = await call("everything_echo", { message: task.text });
  seen.echo_modern = await call("demo_echo", { text: task.text });
}
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);
await client.close();
report("@modelcontextprotocol/client", seen);
