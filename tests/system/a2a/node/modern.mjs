// The npm SDK 1.x as a client: does all that a client can do with each agent it is told of.
import { randomUUID } from "node:crypto";
import { Role, TaskState } from "a2a-modern";
import { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } from "a2a-modern/client";

import { all, BINDINGS, fetchWithKey, gathered, release } from "./trip.mjs";

const stateOf = (state) => TaskState[state].replace("TASK_STATE_", "").toLowerCase().replaceAll("_", "-");

function asking(what, returnImmediately = false) {
  const part = { content: { $case: "text", value: "Do it" }, metadata: undefined, filename: "", mediaType: "" };
  const message = { messageId: `${what}-${randomUUID()}`, contextId: "", taskId: "", role: Role.ROLE_USER };
  Object.assign(message, { parts: [part], metadata: undefined, extensions: [], referenceTaskIds: [] });
  const configuration = { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately };
  return { tenant: "", message, configuration, metadata: undefined };
}

function told({ payload }) {
  const { $case: kind, value } = payload;
  if (kind === "task") return `task ${stateOf(value.status.state)}`;
  if (kind === "statusUpdate") return `status ${stateOf(value.status.state)}`;
  if (kind === "artifactUpdate") return `artifact ${value.artifact.parts[0].content.value}`;
  return `message ${value.parts[0].content.value}`;
}

function shown({ content, filename, mediaType }) {
  if (content.$case === "raw") return ["raw", Buffer.from(content.value).toString("base64"), filename, mediaType];
  if (content.$case === "url") return ["url", content.value, filename, mediaType];
  return [content.$case, content.value];
}

await all(async (url, binding, agent, webhook) => {
  const options = { fetchImpl: fetchWithKey };
  const transport = binding === "rest" ? new RestTransportFactory(options) : new JsonRpcTransportFactory(options);
  const client = await new ClientFactory({
    transports: [transport],
    preferredTransports: [BINDINGS[binding]],
    cardResolver: new DefaultAgentCardResolver(options),
  }).createFromUrl(`${url}/`);
  const about = (id) => ({ tenant: "", id, metadata: undefined });
  return {
    async sends() {
      const sent = await client.sendMessage(asking("tck-complete-task"));
      const message = await client.sendMessage(asking("tck-message-response"));
      const parts = await client.sendMessage(asking("parts"));
      const got = await client.getTask(about(sent.id));
      return {
        task: [stateOf(sent.status.state), sent.status.message.parts[0].content.value],
        message: message.parts[0].content.value,
        parts: parts.artifacts.map((artifact) => shown(artifact.parts[0])),
        got: [got.id === sent.id, stateOf(got.status.state), got.history.length > 0],
      };
    },
    async streams() {
      const events = (await gathered(client.sendMessageStream(asking("tck-stream-artifact-chunked")))).map(told);
      const pieces = (await gathered(client.sendMessageStream(asking("pieces")))).map(told);
      const said = (await gathered(client.sendMessageStream(asking("tck-message-response")))).map(told);
      return { events, pieces: pieces.filter((one) => one.startsWith("artifact")).length, said };
    },
    async cancels() {
      const begun = await client.sendMessage(asking("hold", true));
      const ended = await client.cancelTask(about(begun.id));
      return [stateOf(ended.status.state), ended.id === begun.id];
    },
    async subscribes() {
      const begun = await client.sendMessage(asking("hold", true));
      const events = [];
      for await (const event of client.resubscribeTask(about(begun.id))) {
        events.push(told(event));
        if (events.length === 1) await release(agent);
      }
      return [events[0].split(" ")[0], ...events.slice(-2)];
    },
    async pushes() {
      const taskId = (await client.sendMessage(asking("tck-input-required"))).id;
      const config = { tenant: "", id: "mine", taskId, url: webhook, token: "t0", authentication: undefined };
      const named = { tenant: "", taskId, id: "mine" };
      const listing = { tenant: "", taskId, pageSize: 0, pageToken: "" };
      const made = await client.createTaskPushNotificationConfig(config);
      const got = await client.getTaskPushNotificationConfig(named);
      const before = (await client.listTaskPushNotificationConfig(listing)).configs;
      await client.deleteTaskPushNotificationConfig(named);
      const after = (await client.listTaskPushNotificationConfig(listing)).configs;
      return {
        is_ours: [made, got, ...before].map((one) => one.url === webhook),
        before: before.length,
        after: after.length,
      };
    },
    async lists() {
      const sent = await client.sendMessage(asking("tck-complete-task"));
      const wanted = { tenant: "", contextId: sent.contextId, status: 0, pageToken: "" };
      const found = await client.listTasks({ ...wanted, statusTimestampAfter: undefined });
      return found.tasks.filter((task) => task.id === sent.id).map((task) => stateOf(task.status.state));
    },
    async extends() {
      return (await client.getAgentCard()).description;
    },
    async misses() {
      try {
        await client.getTask(about(randomUUID()));
      } catch (error) {
        return error.name;
      }
    },
  };
});
