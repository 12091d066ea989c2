// What the Node.js client programs share: the task they are given and the report they give back.

import { readFileSync } from "node:fs";

/** The task, as README.md describes it. */
export const task = JSON.parse(process.argv[2]);

/** Where a package is installed: beside the link through which these programs are started. */
export const installed = (name) => new URL(`../node_modules/${name}/`, import.meta.url);

/** Prints the report. */
export function report(client, seen) {
  const { version } = JSON.parse(readFileSync(new URL("package.json", installed(client))));
  console.log(JSON.stringify({ client, version, mode: task.mode, ...seen }));
}
