// Small conversions for display: days, numbers, tool calls, files. No state.
const DAY = 86_400_000;

export function dayOf(seconds, now = Date.now()) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const time = seconds * 1000;
  if (time >= midnight) return "Today";
  if (time >= midnight - DAY) return "Yesterday";
  if (time >= midnight - 6 * DAY) return "Last seven days";
  const date = new Date(time);
  const sameYear = date.getFullYear() === new Date(now).getFullYear();
  const format = sameYear ? { month: "long" } : { month: "long", year: "numeric" };
  return date.toLocaleDateString("en", format);
}

export function byDay(conversations) {
  const groups = [];
  for (const conversation of conversations) {
    const day = dayOf(conversation.updated);
    if (groups.at(-1)?.day !== day) groups.push({ day, conversations: [] });
    groups.at(-1).conversations.push(conversation);
  }
  return groups;
}

export const shortDate = (seconds) =>
  new Date(seconds * 1000).toLocaleDateString("en", { day: "numeric", month: "short" });

const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

export function ago(seconds, now = Date.now()) {
  const past = Math.max(0, now / 1000 - seconds);
  const [unit, size] = UNITS.find(([, size]) => past >= size) ?? UNITS.at(-1);
  return past < 3 ? "just now" : `${Math.floor(past / size)} ${unit} ago`;
}

export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

export const percent = (share) =>
  share === null || share === undefined ? "–" : `${Math.round(share * 1000) / 10}%`;

export function callText(call) {
  let given = call.function.arguments;
  try {
    const values = Object.values(JSON.parse(given));
    given = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(", ");
  } catch {
    // The model wrote no JSON; its own text is the honest thing to show.
  }
  return given;
}

// Runs of messages as the page shows them: a person's turn, or an answer with its tool calls.
export function turnsOf(messages) {
  const turns = [];
  messages.forEach((message, index) => {
    if (message.role === "user") turns.push({ role: "user", index, content: message.content ?? "" });
    else if (message.role === "assistant" || message.role === "tool") {
      if (turns.at(-1)?.role !== "assistant") turns.push({ role: "assistant", index, parts: [], meta: {} });
      addParts(turns.at(-1), message);
    }
  });
  return turns;
}

function addParts(turn, message) {
  Object.assign(turn.meta, message.meta);
  if (message.role === "tool") {
    const open = turn.parts.find((part) => part.call?.id === message.tool_call_id && part.result === undefined);
    const first = open ?? turn.parts.find((part) => part.call && part.result === undefined);
    if (first) first.result = message.content;
    return;
  }
  if (message.content) turn.parts.push({ text: message.content });
  for (const call of message.tool_calls ?? []) turn.parts.push({ call });
}

export const textOf = (turn) =>
  turn.parts.map((part) => part.text ?? "").filter(Boolean).join("\n\n");

export function download(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// navigator.clipboard exists only on https and localhost; the old way works on a home network too.
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
