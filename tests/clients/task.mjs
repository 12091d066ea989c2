// What the Node.js client programs share: the task they are given and the report they give back.

import { readFileSync } from "node:fs";

/** The task, as README.md describes it. */
export const task = JSON.parse(process.argv[2]);

/** Where a package is installed: beside the link through which these programs are started. */
export const installed = (name) => new URL(`../node_modules/${name}/`, import.meta.url);

/** The capabilities of a client that answers, where the task wants answers. */
export const capabilities = task.answers ? { elicitation: {}, sampling: {} } : {};

/** How the client fills in a form. */
export const fillIn = () => ({ action: "accept", content: { name: task.text } });

/** What the client's model says: what it was told. */
export const complete = ({ params }) => ({
  role: "assistant",
  model: "it",
  content: { type: "text", text: params.messages[0].content.text },
});

/** What each tool that asks answered with; an exception in its own words. */
export async function answers(call) {
  const said = {};
  for (const tool of task.answers) {
    said[tool] = await call(tool, { who: task.text }).catch(String);
  }
  return said;
}

/** Prints the report. */
export function report(client, seen) {
  const { version } = JSON.parse(readFileSync(new URL("package.json", installed(client))));
  console.log(JSON.stringify({ client, version, mode: task.mode, ...seen }));
}
