// The npm SDK 1.x as a client: makes the calls of its third argument, and prints what came of them.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, key, calls] = process.argv.slice(2);
const client = new Client({ name: "official", version: "1" });
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit });
await client.connect(transport);
const listed = (await client.listTools()).tools.map((tool) => tool.name);
const called = {};
for (const [label, [name, args]] of Object.entries(JSON.parse(calls))) {
  called[label] = (await client.callTool({ name, arguments: args })).content[0].text;
}
console.log(JSON.stringify({ revision: transport.protocolVersion, listed, called }));
await client.close();
