// What both clients share: makes the trips of an SDK to each agent it is told of, and prints what came of them.
const SECONDS = 30;

export const [key, cells] = [process.argv[2], JSON.parse(process.argv[3])];
export const BINDINGS = { jsonrpc: "JSONRPC", rest: "HTTP+JSON" };

export async function fetchWithKey(url, init = {}) {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return fetch(url, { ...init, headers });
}

export async function release(agent) {
  await fetch(`${agent}/release`, { method: "POST" });
}

export async function gathered(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

function inTime(promise) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("it took too long")), 1000 * SECONDS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export async function all(connect) {
  const done = {};
  for (const [label, url, binding, agent, webhook] of cells) {
    done[label] = {};
    const trips = await connect(url, binding, agent, webhook);
    for (const [name, trip] of Object.entries(trips)) {
      try {
        done[label][name] = await inTime(trip());
      } catch (error) {
        console.error(label, name, error);
        done[label][name] = `${error.name}: ${error.message}`;
      }
    }
  }
  process.stdout.write(JSON.stringify(done), () => process.exit(0));
}
