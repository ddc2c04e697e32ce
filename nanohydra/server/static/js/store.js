// The page's one piece of shared state, and what is kept in the browser between visits.
// Conversations are not kept here: the server's journal is their only home.
import { useLayoutEffect, useReducer } from "./html.js";

let state = {
  server: "connecting", // connecting | loading | ready | draining | gone | locked
  model: null, // { id, context_length, tools, defaults, learning }
  learning: null, // { lessons, board, aliases }; null where the server does not learn
  memory: "auto", // auto | off, of the open conversation
  answering: "auto", // who answers: auto, base, an alias, or alias@version
  conversations: null, // newest first; null until the first answer of the server
  current: null, // id of the open conversation, null for a new one
  messages: [], // of the open conversation, in the OpenAI format
  runs: {}, // by conversation id: the answer being written, see answers.js
  trouble: null, // { title, detail, retry, again } shown below the last turn
  editing: null, // index of the user message being edited
  correcting: null, // index of the answer being corrected
  conflict: null, // { what, conflicts }: a lesson that contradicts an earlier one
  renaming: null, // id of the conversation being renamed
  menu: null, // { id, x, y } of the open conversation menu
  panel: null, // settings | search | conflict
  drawer: false, // the conversation list on narrow screens
  aside: null, // teach | look: why the learning column is open where it is a drawer
  notice: null, // { text, action, label }
  said: "", // what the live region tells a screen reader
};
const listeners = new Set();

export const get = () => state;

export function set(patch) {
  state = { ...state, ...(typeof patch === "function" ? patch(state) : patch) };
  for (const listener of listeners) listener();
}

export function useStore() {
  const [, redraw] = useReducer((count) => count + 1, 0);
  useLayoutEffect(() => {
    listeners.add(redraw);
    return () => listeners.delete(redraw);
  }, []);
  return state;
}

export function remember(name, value) {
  try {
    if (value === null || value === undefined) localStorage.removeItem(`nanohydra.${name}`);
    else localStorage.setItem(`nanohydra.${name}`, JSON.stringify(value));
  } catch {
    // Private windows may refuse storage; the page then forgets on reload, and that is all.
  }
}

export function recall(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(`nanohydra.${name}`)) ?? fallback;
  } catch {
    return fallback;
  }
}
