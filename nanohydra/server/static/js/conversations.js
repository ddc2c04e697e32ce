// The list of conversations and which one is open. The address bar names the open one (#/c/ID).
import { api, wordsOf } from "./api.js";
import { download } from "./format.js";
import { getSettings } from "./settings.js";
import { get, set } from "./store.js";

const hashOf = (id) => (id === null ? "#/" : `#/c/${id}`);
const idOfHash = () => /^#\/c\/([\w-]+)$/.exec(location.hash)?.[1] ?? null;

// Names an id in the address bar without opening it again.
export const nameInBar = (id) => history.replaceState(null, "", hashOf(id));

export function goTo(id) {
  set({ drawer: false, aside: null, panel: null, menu: null });
  if (idOfHash() === id) return follow();
  location.hash = hashOf(id);
}

// Opens what the address bar names.
export async function follow() {
  const id = idOfHash();
  const run = get().runs[id];
  const messages = run ? run.messages : id === null ? freshMessages() : [];
  const memory = run?.memory ?? "auto";
  set({ current: id, messages, memory, editing: null, correcting: null, trouble: null });
  focusInput();
  if (id === null || run) return;
  try {
    const conversation = await api.open(id);
    // The person may have gone on, or sent something, in the meantime.
    if (get().current !== id || get().messages.length) return;
    set({ messages: conversation.messages, memory: conversation.settings.memory ?? "auto" });
  } catch (error) {
    if (get().current !== id) return;
    if (error.status === 404) return goTo(null);
    set({ trouble: { ...wordsOf(error), again: follow } });
  }
}

function freshMessages() {
  const { system } = getSettings();
  return system.trim() ? [{ role: "system", content: system }] : [];
}

export const systemOf = (messages) => (messages[0]?.role === "system" ? messages[0].content : "");

// The system prompt of the open conversation; it counts from the next message on.
export function setSystem(text) {
  set(({ messages }) => {
    const rest = messages[0]?.role === "system" ? messages.slice(1) : messages;
    return { messages: text.trim() ? [{ role: "system", content: text }, ...rest] : rest };
  });
}

// After the drawing that has been asked for, and before anything else the person does.
export const focusInput = () => queueMicrotask(() => document.querySelector("#input")?.focus());

export async function changeList() {
  try {
    set({ conversations: (await api.list()).data });
  } catch (error) {
    if (get().conversations === null) set({ trouble: { ...wordsOf(error), again: changeList } });
  }
}

export async function rename(id, title) {
  set({ renaming: null });
  const name = title.trim();
  if (!name) return;
  await tell(() => api.change(id, { title: name }));
}

// Whether answers of the open chat may use what is remembered, or the weights alone.
export async function setMemory(memory) {
  const { current: id } = get();
  set({ memory, said: memory === "off" ? "Memory is off in this chat" : "Memory is on" });
  if (id !== null) await tell(() => api.change(id, { settings: { memory } }));
}

// Deleting is at once, and can be undone as long as the notice is there.
export async function remove(id) {
  await tell(async () => {
    const kept = await api.exportOne(id);
    get().runs[id]?.controller.abort();
    await api.remove(id);
    if (get().current === id) goTo(null);
    const action = () => tell(() => api.importAll(kept));
    set({ notice: { text: "Chat deleted.", label: "Undo", action } });
  });
}

const today = () => new Date().toISOString().slice(0, 10);

export const exportOne = (id) =>
  tell(async () => download(`nanohydra-chat-${today()}.json`, await api.exportOne(id)));

export const exportAll = () =>
  tell(async () => download(`nanohydra-chats-${today()}.json`, await api.exportAll()));

export async function importFile(file) {
  await tell(async () => {
    let value;
    try {
      value = JSON.parse(await file.text());
    } catch {
      set({ notice: { text: `${file.name} is not a JSON file.` } });
      return;
    }
    const { imported } = await api.importAll(value);
    set({ notice: { text: imported === 1 ? "1 chat imported." : `${imported} chats imported.` } });
  });
}

// Does something to the list, shows its new state, and reports trouble as a notice.
export async function tell(action) {
  try {
    await action();
  } catch (error) {
    const { title, detail } = wordsOf(error);
    set({ notice: { text: [title, detail].filter(Boolean).join(" ") } });
  }
  await changeList();
}
