// Drives each official SDK against each provider and prints one JSON object: what came of each.
// usage: node dialects.mjs BASE_URL KEY PROVIDER...
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const [baseURL, apiKey, ...providers] = process.argv.slice(2);
const gpt = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
const claude = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const google = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: baseURL } });

const name = "get_weather";
const description = "Tells the weather of a city.";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const hello = "Is the line clear?";
const question = "What is the weather in Bern, Basel and Chur?";
const failing = "Please answer with 429";
const weather = (city) => `fog in ${city}`;

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { class: error.constructor.name, status: error.status };
  }
}

const sdks = {
  chat: {
    ask: async (model, content, more = {}) =>
      gpt.chat.completions.create({ model, messages: [{ role: "user", content }], ...more }),
    async plain(model) {
      return (await this.ask(model, hello)).choices[0].message.content;
    },
    async stream(model) {
      let text = "";
      for await (const chunk of await this.ask(model, hello, { stream: true }))
        text += chunk.choices[0]?.delta?.content ?? "";
      return text;
    },
    async tools(model) {
      const settings = {
        model,
        tools: [{ type: "function", function: { name, description, parameters: schema } }],
        max_completion_tokens: 6000,
        reasoning_effort: "medium",
      };
      const messages = [{ role: "user", content: question }];
      const answer = await gpt.chat.completions.create({ ...settings, messages });
      const { message } = answer.choices[0];
      messages.push(message);
      for (const call of message.tool_calls)
        messages.push({
          role: "tool",
          tool_call_id: call.id,
          content: weather(JSON.parse(call.function.arguments).city),
        });
      const stream = gpt.chat.completions.stream({ ...settings, messages });
      return (await stream.finalChatCompletion()).choices[0].message.content;
    },
    error(model) {
      return failure(this.ask(model, failing));
    },
  },
  responses: {
    async plain(model) {
      return (await gpt.responses.create({ model, input: hello, store: false })).output_text;
    },
    async stream(model) {
      return (await gpt.responses.stream({ model, input: hello, store: false }).finalResponse()).output_text;
    },
    async tools(model) {
      const settings = {
        model,
        tools: [{ type: "function", name, description, parameters: schema, strict: false }],
        max_output_tokens: 6000,
        reasoning: { effort: "medium", summary: "auto" },
        include: ["reasoning.encrypted_content"],
        store: false,
      };
      const input = [{ role: "user", content: question }];
      let answer;
      for await (const event of await gpt.responses.create({ ...settings, input, stream: true }))
        if (event.type === "response.completed") answer = event.response;
      input.push(...answer.output);
      for (const item of answer.output)
        if (item.type === "function_call")
          input.push({
            type: "function_call_output",
            call_id: item.call_id,
            output: weather(JSON.parse(item.arguments).city),
          });
      return (await gpt.responses.create({ ...settings, input })).output_text;
    },
    error: (model) => failure(gpt.responses.create({ model, input: failing })),
  },
  messages: {
    text: (answer) => answer.content.map((block) => (block.type === "text" ? block.text : "")).join(""),
    asked: (model, content, more = {}) => ({ model, max_tokens: 6000, messages: [{ role: "user", content }], ...more }),
    async plain(model) {
      return this.text(await claude.messages.create(this.asked(model, hello)));
    },
    async stream(model) {
      return claude.messages.stream(this.asked(model, hello)).finalText();
    },
    async tools(model) {
      const settings = this.asked(model, question, {
        tools: [{ name, description, input_schema: schema }],
        thinking: { type: "enabled", budget_tokens: 2048 },
      });
      const answer = await claude.messages.stream(settings).finalMessage();
      const results = answer.content
        .filter((block) => block.type === "tool_use")
        .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: weather(block.input.city) }));
      settings.messages.push({ role: "assistant", content: answer.content }, { role: "user", content: results });
      return this.text(await claude.messages.create(settings));
    },
    error(model) {
      return failure(claude.messages.create(this.asked(model, failing)));
    },
  },
  gemini: {
    plain: async (model) => (await google.models.generateContent({ model, contents: hello })).text,
    async stream(model) {
      let text = "";
      for await (const chunk of await google.models.generateContentStream({ model, contents: hello }))
        text += chunk.text ?? "";
      return text;
    },
    async tools(model) {
      const config = {
        tools: [{ functionDeclarations: [{ name, description, parametersJsonSchema: schema }] }],
        thinkingConfig: { includeThoughts: true, thinkingLevel: "HIGH" },
        maxOutputTokens: 6000,
      };
      const contents = [{ role: "user", parts: [{ text: question }] }];
      const parts = [];
      for await (const chunk of await google.models.generateContentStream({ model, contents, config }))
        parts.push(...(chunk.candidates[0].content?.parts ?? []));
      const answered = parts
        .filter((part) => part.functionCall)
        .map(({ functionCall: { id, name, args } }) => ({
          functionResponse: { id, name, response: { output: weather(args.city) } },
        }));
      contents.push({ role: "model", parts }, { role: "user", parts: answered });
      return (await google.models.generateContent({ model, contents, config })).text;
    },
    error: (model) => failure(google.models.generateContent({ model, contents: failing })),
  },
};

const results = {};
for (const [sdk, checks] of Object.entries(sdks))
  for (const provider of providers)
    for (const check of ["plain", "stream", "tools", "error"]) {
      let found;
      try {
        found = await checks[check](`via-${provider}`);
      } catch (error) {
        found = { unexpected: String(error) };
      }
      results[`${sdk} ${provider} ${check}`] = found;
    }
console.log(JSON.stringify(results));
