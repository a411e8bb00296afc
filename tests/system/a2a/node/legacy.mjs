// The npm SDK 0.3 as a client: does all that a client can do with each agent it is told of.
import { randomUUID } from "node:crypto";
import { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } from "a2a-legacy/client";

import { all, BINDINGS, fetchWithKey, gathered, release } from "./trip.mjs";

function asking(what, blocking = true) {
  const parts = [{ kind: "text", text: "Do it" }];
  const message = { kind: "message", messageId: `${what}-${randomUUID()}`, role: "user", parts };
  return { message, configuration: { blocking } };
}

function told(event) {
  if (event.kind === "task") return `task ${event.status.state}`;
  if (event.kind === "status-update") return `status ${event.status.state}`;
  if (event.kind === "artifact-update") return `artifact ${event.artifact.parts[0].text}`;
  return `message ${event.parts[0].text}`;
}

function shown(part) {
  if (part.kind === "text") return ["text", part.text];
  if (part.kind === "data") return ["data", part.data];
  const { bytes, uri, name, mimeType } = part.file;
  return bytes ? ["raw", bytes, name, mimeType] : ["url", uri, name, mimeType];
}

await all(async (url, binding, agent, webhook) => {
  const options = { fetchImpl: fetchWithKey };
  const transport = binding === "rest" ? new RestTransportFactory(options) : new JsonRpcTransportFactory(options);
  const client = await new ClientFactory({
    transports: [transport],
    preferredTransports: [BINDINGS[binding]],
    cardResolver: new DefaultAgentCardResolver(options),
  }).createFromUrl(`${url}/`);
  return {
    async sends() {
      const sent = await client.sendMessage(asking("tck-complete-task"));
      const message = await client.sendMessage(asking("tck-message-response"));
      const parts = await client.sendMessage(asking("parts"));
      const got = await client.getTask({ id: sent.id });
      return {
        task: [sent.status.state, sent.status.message.parts[0].text],
        message: message.parts[0].text,
        parts: parts.artifacts.map((artifact) => shown(artifact.parts[0])),
        got: [got.id === sent.id, got.status.state, got.history.length > 0],
      };
    },
    async streams() {
      const events = (await gathered(client.sendMessageStream(asking("tck-stream-artifact-chunked")))).map(told);
      const pieces = (await gathered(client.sendMessageStream(asking("pieces")))).map(told);
      const said = (await gathered(client.sendMessageStream(asking("tck-message-response")))).map(told);
      return { events, pieces: pieces.filter((one) => one.startsWith("artifact")).length, said };
    },
    async cancels() {
      const begun = await client.transport.sendMessage(asking("hold", false));
      const ended = await client.cancelTask({ id: begun.id });
      return [ended.status.state, ended.id === begun.id];
    },
    async subscribes() {
      const begun = await client.transport.sendMessage(asking("hold", false));
      const events = [];
      for await (const event of client.resubscribeTask({ id: begun.id })) {
        events.push(told(event));
        if (events.length === 1) await release(agent);
      }
      return [events[0].split(" ")[0], ...events.slice(-2)];
    },
    async pushes() {
      const taskId = (await client.sendMessage(asking("tck-input-required"))).id;
      const pushNotificationConfig = { id: "mine", url: webhook, token: "t0" };
      const named = { id: taskId, pushNotificationConfigId: "mine" };
      const made = await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig });
      const got = await client.getTaskPushNotificationConfig(named);
      const before = await client.listTaskPushNotificationConfig({ id: taskId });
      await client.deleteTaskPushNotificationConfig(named);
      const after = await client.listTaskPushNotificationConfig({ id: taskId });
      return {
        is_ours: [made, got, ...before].map((one) => one.pushNotificationConfig.url === webhook),
        before: before.length,
        after: after.length,
      };
    },
    async extends() {
      return (await client.getAgentCard()).description;
    },
    async misses() {
      try {
        await client.getTask({ id: randomUUID() });
      } catch (error) {
        return error.constructor.name;
      }
    },
  };
});
