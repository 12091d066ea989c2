// npm @modelcontextprotocol/sdk 1.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { answers, capabilities, complete, fillIn, report, task } from "./task.mjs";

const client = new Client({ name: "it", version: "1" }, { capabilities });
if (task.answers) {
  client.setRequestHandler(ElicitRequestSchema, fillIn);
  client.setRequestHandler(CreateMessageRequestSchema, complete);
}
const transport = new StreamableHTTPClientTransport(new URL(task.url), {
  requestInit: { headers: task.headers },
});
await client.connect(transport);

const names = async () => (await client.listTools()).tools.map((tool) => tool.name);
const call = async (name, args) =>
  (await client.callTool({ name, arguments: args })).content[0].text;

const seen = { protocol: transport.protocolVersion };
if (task.watch) {
  const told = new Promise((resolve) =>
    client.setNotificationHandler(ToolListChangedNotificationSchema, resolve),
  );
  await call("grower_grow", task.watch);
  await told;
} else if (task.answers) {
  seen.answers = await answers(call);
} else {
  seen.echo_legacy = await call("everything_echo", { message: task.text });
  seen.echo_modern = await call("demo_echo", { text: task.text });
}
seen.tools = await names();
await transport.terminateSession();
await client.close();
report("@modelcontextprotocol/sdk", seen);
