// HTTP: every call of the page to its server, and errors in words a person can use.
import { getSettings } from "./settings.js";

export class Trouble extends Error {
  constructor(title, detail = "", { status = 0, retry = true, said = "" } = {}) {
    super(title);
    Object.assign(this, { title, detail, status, retry, said });
  }
}

const WORDS = {
  401: ["The server wants an API key.", "Enter it under Settings, then try again."],
  404: ["This is no longer on the server.", ""],
  413: ["That is too long to send.", "Shorten the message or start a new chat."],
  429: ["The model is busy with other questions.", "Try again in a moment."],
  500: ["The server failed on this one.", "Its log says why."],
};

const UNREADY = {
  loading: ["The model is still loading.", "It will answer in a moment."],
  draining: ["The server is shutting down.", "Start it again, then try again."],
  engine_stopped: ["The model does not run.", "The server's log says why; start it again."],
};

export function troubleOf(status, error) {
  const message = error?.message ?? "";
  if (status === 503) {
    const [title, detail] = UNREADY[error?.code] ?? UNREADY.engine_stopped;
    return new Trouble(title, detail, { status });
  }
  const [title, detail] = WORDS[status] ?? ["The server did not accept this.", message];
  return new Trouble(title, detail, { status, retry: status !== 413, said: message });
}

// What a server without a sentence of ours says of a lesson or a file is the best there is.
export function taughtWords(error) {
  const words = wordsOf(error);
  if (![400, 413].includes(error.status) || !error.said) return words;
  return { ...words, title: error.said[0].toUpperCase() + error.said.slice(1), detail: "" };
}

export const lost = () =>
  new Trouble("The server cannot be reached.", "Is it still running? Your message is kept here.");

// What went wrong as the page shows it, whatever was thrown.
export function wordsOf(error) {
  if (error instanceof Trouble) {
    const { title, detail, retry, status } = error;
    return { title, detail, retry, status };
  }
  console.error(error);
  return { title: "Something went wrong in the page.", detail: String(error), retry: true };
}

// `body` is sent as JSON, `file` as it is.
export async function request(path, { method = "GET", body, file, signal } = {}) {
  const headers = {};
  const { key } = getSettings();
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  if (file) headers["content-type"] = "application/octet-stream";
  let response;
  try {
    const sent = body === undefined ? file : JSON.stringify(body);
    response = await fetch(path, { method, headers, body: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost();
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw Object.assign(troubleOf(response.status, answer?.error), { conflicts: answer?.conflicts });
  }
  return response;
}

const json = async (path, options) => (await request(path, options)).json();
const at = (id) => `/api/conversations/${encodeURIComponent(id)}`;

export const api = {
  models: () => json("/v1/models"),
  list: () => json("/api/conversations"),
  search: (query, signal) =>
    json(`/api/conversations?query=${encodeURIComponent(query)}`, { signal }),
  open: (id) => json(at(id)),
  create: (settings) => json("/api/conversations", { method: "POST", body: { settings } }),
  change: (id, body) => json(at(id), { method: "PATCH", body }),
  replace: (id, messages) => json(`${at(id)}/messages`, { method: "PUT", body: { messages } }),
  remove: (id) => request(at(id), { method: "DELETE" }),
  exportAll: () => json("/api/conversations/export"),
  exportOne: (id) => json(`/api/conversations/export?id=${encodeURIComponent(id)}`),
  importAll: (file) => json("/api/conversations/import", { method: "POST", body: file }),

  lessons: (query) => json(`/lessons?limit=200&query=${encodeURIComponent(query)}`),
  board: () => json("/learning/dashboard"),
  adapters: () => json("/adapters"),
  teach: (lessons, resolve) => json("/learn", { method: "POST", body: { lessons, resolve } }),
  upload: (file, resolve) =>
    json(`/learn/upload?name=${encodeURIComponent(file.name)}&resolve=${resolve}`, { method: "POST", file }),
  job: (id, signal) => request(`/learn/${encodeURIComponent(id)}/events`, { signal }),
  cancel: (id) => json(`/learn/${encodeURIComponent(id)}/cancel`, { method: "POST" }),
  forget: (id) => json(`/lessons/${encodeURIComponent(id)}`, { method: "DELETE" }),
  switchTo: (alias, versions) => json("/switch_adapter", { method: "POST", body: { alias, versions } }),
  rollback: (alias) => json(`/adapters/${encodeURIComponent(alias)}/rollback`, { method: "POST" }),
  removeVersion: (version) => json(`/adapters/${encodeURIComponent(version)}`, { method: "DELETE" }),
  feedback: (body) => json("/feedback", { method: "POST", body }),
};
