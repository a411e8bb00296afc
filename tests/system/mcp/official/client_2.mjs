// The npm client 2.x as a client: makes the calls of its third argument, and prints what came of them.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, key, calls] = process.argv.slice(2);
const client = new Client({ name: "official", version: "1" }, { versionNegotiation: { mode: "auto" } });
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit });
await client.connect(transport);
const listed = (await client.listTools()).tools.map((tool) => tool.name);
const called = {};
for (const [label, [name, args]] of Object.entries(JSON.parse(calls))) {
  called[label] = (await client.callTool({ name, arguments: args })).content[0].text;
}
console.log(JSON.stringify({ revision: client.getNegotiatedProtocolVersion(), listed, called }));
await client.close();
