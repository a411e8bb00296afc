// Drives every endpoint with the official SDK and prints one JSON object: what came of each.
// usage: node endpoints.mjs BASE_URL KEY
import { File } from "node:buffer";

// Node.js 18 has File, but not as a global, where the SDK looks for it.
globalThis.File ??= File;
const { default: OpenAI, AzureOpenAI, toFile } = await import("openai");

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
const messages = [{ role: "user", content: "Hello ü ✓" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const picture = () => toFile(Buffer.from("\x89PNG picture", "latin1"), "plan ü nord.png", { type: "image/png" });
const sound = () => toFile(Buffer.alloc(70_000, 1), "ansage.mp3", { type: "audio/mpeg" });

async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const text = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    const { status, code, param, type } = error;
    return { class: error.constructor.name, status, code, param, type, hasRequestId: Boolean(error.requestID) };
  }
}

const checks = {
  async chat() {
    const answer = await client.chat.completions.create({ model: "house-chat", messages });
    return { model: answer.model, text: answer.choices[0].message.content, hasRequestId: Boolean(answer._request_id) };
  },
  async chat_stream() {
    const chunks = await collect(
      await client.chat.completions.create({
        model: "house-chat",
        messages,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    const last = chunks.at(-1);
    return { models: [...new Set(chunks.map((c) => c.model))], text: text(chunks), total: last.usage.total_tokens };
  },
  async chat_tools() {
    const stream = client.chat.completions.stream({ model: "house-chat", messages, tools });
    const answer = await stream.finalChatCompletion();
    return answer.choices[0].message.tool_calls[0].function.arguments;
  },
  async structured_output() {
    const schema = { name: "station", strict: true, schema: { type: "object", properties: {} } };
    const response_format = { type: "json_schema", json_schema: schema };
    const answer = await client.chat.completions.create({ model: "house-chat", messages, response_format });
    return JSON.parse(answer.choices[0].message.content);
  },
  async completions() {
    const answer = await client.completions.create({ model: "house-chat", prompt: "Once" });
    const chunks = await collect(await client.completions.create({ model: "house-chat", prompt: "Once", stream: true }));
    return [answer.choices[0].text, chunks.map((chunk) => chunk.choices[0].text).join("")];
  },
  async responses() {
    const answer = await client.responses.create({ model: "house-chat", input: "Hello" });
    return [answer.model, answer.output_text];
  },
  async responses_stream() {
    const events = await collect(await client.responses.create({ model: "house-chat", input: "Hello", stream: true }));
    return { first: events[0].type, last: events.at(-1).type, model: events.at(-1).response.model };
  },
  async embeddings() {
    const plain = await client.embeddings.create({ model: "house-chat", input: "x" });
    const floats = await client.embeddings.create({ model: "house-chat", input: ["x", "y"], encoding_format: "float" });
    const tokens = await client.embeddings.create({ model: "house-chat", input: [[1, 2], [3]], dimensions: 2 });
    return [plain.data[0].embedding, floats.data[1].embedding, tokens.data.map((entry) => entry.embedding.length)];
  },
  async images() {
    const made = await client.images.generate({ prompt: "a signal box" });
    const edited = await client.images.edit({ model: "fake/node-editor", image: await picture(), prompt: "at night" });
    const varied = await client.images.createVariation({ model: "fake/node-varied", image: await picture() });
    return [made, edited, varied].map((answer) => answer.data.length);
  },
  async images_stream() {
    const stream = await client.images.generate({ model: "house-images", prompt: "x", stream: true, partial_images: 1 });
    return (await collect(stream)).map((event) => event.type);
  },
  async transcriptions() {
    const make = async (more) =>
      client.audio.transcriptions.create({ model: "fake/node-scribe", file: await sound(), ...more });
    const json = await make({});
    const srt = await make({ response_format: "srt" });
    const verbose = await make({ response_format: "verbose_json" });
    const events = await collect(await make({ stream: true }));
    return { json: json.text, srt, language: verbose.language, events: events.map((event) => event.type) };
  },
  async translations() {
    return (await client.audio.translations.create({ model: "fake/node-interpreter", file: await sound() })).text;
  },
  async speech() {
    const answer = await client.audio.speech.create({ model: "fake/speaker", voice: "alloy", input: "Mind the gap" });
    return { type: answer.headers.get("content-type"), bytes: (await answer.arrayBuffer()).byteLength };
  },
  async moderations() {
    return (await client.moderations.create({ input: ["a", "b"] })).results.map((result) => result.flagged);
  },
  async models() {
    const names = (await collect(client.models.list())).map((model) => model.id);
    return [names.includes("house-chat"), (await client.models.retrieve("house-chat")).id];
  },
  async rerank() {
    const body = { model: "cohere-rerank", query: "q", documents: ["a", "b"], return_documents: true };
    return (await client.post("/rerank", { body })).results;
  },
  async azure() {
    const azure = new AzureOpenAI({ endpoint: baseURL, apiKey, apiVersion: "2024-10-21", maxRetries: 0 });
    const answer = await azure.chat.completions.create({ model: "house-chat", messages });
    return answer.model;
  },
  async errors() {
    const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
    return {
      unknown: await failure(client.chat.completions.create({ model: "nobody", messages })),
      stranger: await failure(stranger.models.list()),
      shape: await failure(client.chat.completions.create({ model: "house-chat", messages: 7 })),
      limited: await failure(client.chat.completions.create({ model: "fake/node-limited", messages })),
      early: await failure(client.chat.completions.create({ model: "fake/node-early", messages, stream: true })),
      late: await failure(
        client.chat.completions.create({ model: "fake/node-late", messages, stream: true }).then(collect),
      ),
    };
  },
};

const results = {};
for (const [name, check] of Object.entries(checks)) {
  try {
    results[name] = await check();
  } catch (error) {
    results[name] = { unexpected: String(error) };
  }
}
console.log(JSON.stringify(results));
