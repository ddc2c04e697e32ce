// Sampling settings: their meaning, their defaults and what they add to a request.
// An empty value means "as the server does it"; nothing is sent for it.
import { recall, remember } from "./store.js";

const EMPTY = { temperature: null, top_p: null, top_k: null, max_tokens: null, seed: null };
let settings = { ...EMPTY, system: "", tools: true, key: "", ...recall("settings", {}) };

export const getSettings = () => settings;

export function setSettings(patch) {
  settings = { ...settings, ...patch };
  remember("settings", settings);
}

export function resetSampling() {
  setSettings({ ...EMPTY, tools: true });
}

export function requestOptions() {
  const options = {};
  for (const name of Object.keys(EMPTY)) {
    if (settings[name] !== null) options[name] = settings[name];
  }
  if (!settings.tools) options.tools = "none";
  return options;
}

// A number from a text field, or null when the field is empty or holds no number.
export function readNumber(text, { min, max, whole = false }) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) return null;
  const bounded = Math.min(max, Math.max(min, value));
  return whole ? Math.round(bounded) : bounded;
}
