// A legacy MCP server over standard streams whose tool `grow` gives it another tool.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const said = (text) => ({ content: [{ type: "text", text }] });
const server = new McpServer({ name: "grower", version: "1.0.0" });
const schema = { description: "Adds a tool.", inputSchema: { name: z.string() } };
// The library tells the client that the list changed.
server.registerTool("grow", schema, async ({ name }) => {
  server.registerTool(name, { description: "Was added." }, async () => said(name));
  return said("grown");
});
await server.connect(new StdioServerTransport());
