// What the model learns, and what a person does about it: teach, correct, forget, roll back.
// One running job is followed by its events; everything else is fetched again when it has changed.
import { api, taughtWords } from "./api.js";
import { tell } from "./conversations.js";
import { isOpen } from "./lesson_text.js";
import { get, set } from "./store.js";
import { eventsOf } from "./stream.js";

const AGAIN_MS = 3000; // after the connection broke
const IDLE_MS = 30_000; // lessons may also be taught from a terminal
let asked = 0;
let following = null;
let query = "";
let timer = 0;

// Fetches all of it. Of several answers under way only the last one counts.
export async function changeLearning() {
  clearTimeout(timer);
  if (!get().model?.learning) return;
  const mine = ++asked;
  timer = setTimeout(changeLearning, IDLE_MS);
  try {
    const [lessons, board, adapters] = await Promise.all([api.lessons(query), api.board(), api.adapters()]);
    if (mine !== asked) return;
    announce(get().learning?.lessons ?? [], lessons.data);
    set({ learning: { lessons: lessons.data, board, aliases: adapters.aliases } });
    followJob();
  } catch (error) {
    if (mine !== asked) return;
    clearTimeout(timer);
    timer = setTimeout(changeLearning, AGAIN_MS);
  }
}

const ENDS = { live: "Live", refused: "Refused", memory_only: "Kept in memory only" };

function announce(before, now) {
  const states = new Map(before.map(({ id, state }) => [id, state]));
  const news = now.filter(({ id, state }) => ENDS[state] && states.has(id) && states.get(id) !== state);
  if (news.length) set({ said: news.map(({ state, text }) => `${ENDS[state]}: ${text}`).join(". ") });
}

// The job that the learner works on, or else the one that has waited longest.
function followJob() {
  const open = get().learning.board.jobs.filter(isOpen);
  const job = open.find(({ state }) => state !== "queued") ?? open.at(-1);
  if (job && following === null) watch(job);
}

async function watch({ id, state }) {
  following = id;
  let before = state;
  try {
    const response = await api.job(id);
    for await (const data of eventsOf(response.body)) {
      if (data === "[DONE]") break;
      const job = JSON.parse(data);
      put(job);
      if (job.state !== before) changeLearning();
      before = job.state;
    }
  } catch {
    // The next look at everything follows it again.
  }
  following = null;
  clearTimeout(timer);
  timer = setTimeout(changeLearning, !isOpen({ state: before }) ? 0 : AGAIN_MS);
}

function put(job) {
  set(({ learning }) => {
    const jobs = learning.board.jobs.map((each) => (each.id === job.id ? job : each));
    return { learning: { ...learning, board: { ...learning.board, jobs } } };
  });
}

export function searchLessons(words) {
  query = words.trim();
  return changeLearning();
}

// Teaches { lessons } or { file }; returns the trouble as words, or null when it was taken or when a
// dialog now asks about a contradiction. `what.onTaken` runs once it is taken.
export async function teach(what, resolve = "ask") {
  const most = get().model.learning.max_upload_bytes;
  if (what.file?.size > most) {
    return { title: `${what.file.name} is too large: at most ${Math.round(most / 2 ** 20)} MB.`, detail: "" };
  }
  try {
    const taken = await (what.file ? api.upload(what.file, resolve) : api.teach(what.lessons, resolve));
    const warnings = taken.warnings.join(" ");
    set({ said: taken.lessons.length ? "Remembered. It can be used now." : warnings });
    if (warnings) set({ notice: { text: warnings } });
    what.onTaken?.(taken);
    changeLearning();
  } catch (error) {
    if (!error.conflicts) return taughtWords(error);
    set({ conflict: { what, conflicts: error.conflicts }, panel: "conflict" });
  }
  return null;
}

export async function settleConflict(resolve) {
  const { what } = get().conflict;
  set({ panel: null, conflict: null });
  const trouble = await teach(what, resolve);
  if (trouble) set({ notice: { text: trouble.title } });
}

// Does something, reports trouble as a notice, and shows the new state.
async function act(action, said) {
  await tell(async () => {
    await action();
    set({ said });
  });
  await changeLearning();
}

export const forget = ({ id, text }) => act(() => api.forget(id), `Forgotten: ${text}`);

export const cancel = (id) => act(() => api.cancel(id), "Cancelled");

export const removeVersion = (version) => act(() => api.removeVersion(version), "Version deleted");

// Back to the state before the last change, or to any other set of versions.
export const rollBack = (alias) => act(() => api.rollback(alias), "Rolled back");

export const switchTo = (alias, versions) => act(() => api.switchTo(alias, versions), "Switched");
