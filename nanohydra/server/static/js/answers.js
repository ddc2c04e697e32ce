// What a person does in a conversation: send, stop, try again, edit. One run per conversation; a
// run goes on while another conversation is open, and the server saves both sides as it goes.
import { api, wordsOf } from "./api.js";
import { connect } from "./connection.js";
import { changeList, focusInput, nameInBar } from "./conversations.js";
import { textOf } from "./format.js";
import { requestOptions } from "./settings.js";
import { get, set } from "./store.js";
import { answerOf } from "./stream.js";

const REDRAW_MS = 70; // markdown is drawn again at most this often while an answer grows

export const isRunning = () => Boolean(get().runs[get().current]);

const OPEN = ["connecting", "ready"]; // states of the server in which trying makes sense

export const canSend = () => OPEN.includes(get().server) && !isRunning();

export function send(text) {
  const content = text.trim();
  if (!content || !canSend()) return false;
  start([...get().messages, { role: "user", content }]);
  return true;
}

export const stop = (id = get().current) => get().runs[id]?.controller.abort();

// Again: a new answer in place of the one that starts at this message.
export function retry(index) {
  if (!canSend()) return;
  offerUndo(index);
  start(get().messages.slice(0, index));
}

export function edit(index, text) {
  const content = text.trim();
  if (!content || !canSend()) return;
  offerUndo(index);
  start([...get().messages.slice(0, index), { role: "user", content }]);
}

// Where later turns go away, the person can have them back.
function offerUndo(index) {
  const { current: id, messages: before } = get();
  if (!before.slice(index + 1).some(({ role }) => role === "user")) return;
  const action = async () => {
    stop(id);
    await get().runs[id]?.finished;
    try {
      await api.replace(id, before);
    } catch (error) {
      return set({ trouble: wordsOf(error) });
    }
    if (get().current === id) set({ messages: before, trouble: null });
  };
  set({ notice: { text: "Later turns were replaced.", label: "Undo", action } });
}

async function start(messages) {
  set({ messages, trouble: null, editing: null, correcting: null });
  focusInput();
  let id = get().current;
  if (id === null) {
    try {
      id = (await api.create(get().learning ? { memory: get().memory } : {})).id;
    } catch (error) {
      return set({ trouble: { ...wordsOf(error), again: () => start(messages) } });
    }
    // The person may have opened another chat in the meantime; the answer then comes without them.
    if (get().messages === messages) {
      nameInBar(id);
      set({ current: id });
    }
  }
  const entry = {
    messages,
    memory: get().memory,
    parts: [], // { text } and { call, result }, in the order they came
    controller: new AbortController(),
    firstAt: null, // when the first words came, in milliseconds
    deltas: 0, // pieces of text so far: about one a token
  };
  set(({ runs }) => ({ runs: { ...runs, [id]: entry }, said: "Answering" }));
  entry.finished = follow(id, entry);
  await entry.finished;
  changeList();
}

async function follow(id, entry) {
  const { model, learning, answering } = get();
  const body = {
    model: learning ? answering : model?.id,
    messages: entry.messages.map(({ meta, ...message }) => message),
    stream: true,
    conversation_id: id,
    ...requestOptions(),
  };
  if (learning) body.memory = entry.memory;
  const redraw = throttle(() => set(({ runs }) => ({ runs: { ...runs } })));
  let done = null;
  let error = null;
  try {
    for await (const part of answerOf(body, entry.controller.signal)) {
      if (part.done) done = part.done;
      else take(entry, part);
      redraw();
    }
  } catch (caught) {
    error = caught;
  }
  redraw.cancel();
  settle(id, entry, done, error);
}

function take(entry, { text, call, result }) {
  const { parts } = entry;
  if (text) {
    entry.firstAt ??= performance.now();
    entry.deltas += 1;
    if (parts.at(-1)?.text !== undefined) parts.at(-1).text += text;
    else parts.push({ text });
  } else if (call) {
    parts.push({ call });
  } else if (result) {
    const open = parts.find((part) => part.call?.id === result.tool_call_id);
    if (open) open.result = result.content;
  }
}

// Puts what came into the conversation, also when it ended early, and says how it went.
function settle(id, entry, done, error) {
  const { messages: written, ...meta } = done ?? {
    messages: messagesOf(entry.parts),
    finish_reason: "abort",
  };
  if (written.length) written.at(-1).meta = { model: get().model?.id, ...meta };
  const { [id]: _, ...runs } = get().runs;
  set({ runs });
  if (get().current !== id) return;
  const patch = { messages: [...entry.messages, ...written], said: "Stopped" };
  if (done) {
    patch.said = `Answer: ${textOf(entry)}`;
    if (done.saved === false) patch.notice = { text: "This answer could not be saved." };
  } else if (error.name !== "AbortError") {
    patch.trouble = { ...wordsOf(error), again: () => start(entry.messages) };
    patch.said = patch.trouble.title;
    if (error.status === 401) patch.panel = "settings";
    if (error.status === 0 || error.status === 503) connect();
  }
  set(patch);
}

function messagesOf(parts) {
  const messages = [];
  let calling = false; // whether the last assistant message may still take calls
  for (const { text, call, result } of parts) {
    if (call && result === undefined) continue; // a call without its result counts for nothing
    if (text !== undefined || !calling) {
      messages.push({ role: "assistant", content: text ?? "" });
      calling = true;
    }
    if (!call) continue;
    messages.at(-1).tool_calls = [call];
    messages.push({ role: "tool", tool_call_id: call.id, content: result });
    calling = false;
  }
  return messages;
}

// Acts at once, so that the first words do not wait, and then at most every REDRAW_MS.
function throttle(action) {
  let timer = 0;
  let again = false;
  const rest = () => {
    timer = 0;
    if (again) call();
  };
  const call = () => {
    again = Boolean(timer);
    if (again) return;
    action();
    timer = setTimeout(rest, REDRAW_MS);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}
