// Whether the server is there and ready. Asks again while it is not; silent once it is.
import { api } from "./api.js";
import { changeList } from "./conversations.js";
import { changeLearning } from "./learning.js";
import { set } from "./store.js";

const AGAIN_MS = 1500;
let timer = 0;

export async function connect() {
  clearTimeout(timer);
  const server = await look();
  set({ server });
  if (server === "ready") return Promise.all([changeList(), changeLearning()]);
  if (server !== "locked") timer = setTimeout(connect, AGAIN_MS);
}

async function look() {
  try {
    const ready = await fetch("/ready");
    if (!ready.ok) return (await ready.json()).status;
    const { data } = await api.models();
    set({ model: data[0] });
    return "ready";
  } catch (error) {
    return error.status === 401 ? "locked" : "gone";
  }
}
