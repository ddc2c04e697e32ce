// Server-sent events of a chat answer: bytes in, parsed chunks out. Knows nothing of the page.
import { Trouble, lost, request, troubleOf } from "./api.js";

// Splits a byte stream into the data of its events. An event may arrive in any number of pieces,
// and a piece may end inside a multi-byte character.
export async function* eventsOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop();
      for (const event of events) {
        const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Yields { text }, { call }, { result } and at last { done }, which holds `finish_reason` and what the
// server says about the whole answer: `messages`, `timings`, `context`, `dropped_turns`, `note`.
// Throws a Trouble when the server refuses or the connection breaks.
export async function* answerOf(body, signal) {
  const response = await request("/v1/chat/completions", { method: "POST", body, signal });
  const done = {};
  try {
    for await (const data of eventsOf(response.body)) {
      if (data === "[DONE]") {
        yield { done };
        return;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) throw troubleOf(500, chunk.error);
      yield* partsOf(chunk, done);
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Trouble) throw error;
    throw lost();
  }
  throw lost();
}

function* partsOf({ choices: [choice], nanohydra: extra = {} }, done) {
  if (extra.tool_call) yield { call: extra.tool_call };
  if (extra.tool_result) yield { result: extra.tool_result };
  if (!choice) return;
  if (choice.delta.content) yield { text: choice.delta.content };
  if (choice.finish_reason) Object.assign(done, { finish_reason: choice.finish_reason }, extra);
}
