// Words for what is learned: which lessons a text holds, how far a lesson is, what a version is called.
import { dayOf, percent, shortDate } from "./format.js";

const ENDED = ["live", "refused", "failed", "cancelled"];
const ORDINALS = ["", "second", "third", "fourth"];
const MAX_FACT = 240; // characters; a longer line is a document

export const isOpen = (job) => Boolean(job) && !ENDED.includes(job.state);

// Short lines are facts, one each; anything longer is one document.
export function lessonsIn(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.every((line) => line.length <= MAX_FACT) && !/\n\s*\n/.test(text.trim())) {
    return lines.map((line) => ({ kind: "fact", text: line }));
  }
  const title = lines[0].replace(/^#+\s*/, "").slice(0, 80);
  return [{ kind: "document", title, text }];
}

// How far a lesson is: `done` of four steps, the one that runs now, and the words for it.
export function progressOf(lesson, job) {
  const { state } = lesson;
  if (state === "live") return { done: 4, words: "Live" };
  if (state === "refused") return { done: 3, bad: true, words: "Refused", note: "kept in memory" };
  const stopped = state === "remembered" && ["failed", "cancelled"].includes(job?.state);
  if (stopped) return { done: 1, words: "In memory only", note: `learning ${job.state === "failed" ? "failed" : "was cancelled"}`, why: job.reason };
  if (state === "memory_only") return { done: 1, words: "In memory only", note: "usable" };
  // A version that is refused is tried again, more gently.
  const tries = (job?.events ?? []).filter(({ step }) => step.startsWith("refused by")).length;
  const note = tries && isOpen(job) ? `${ORDINALS[tries] ?? "a further"} try` : "usable from memory";
  if (state === "tested" || job?.state === "testing") return { done: 2, now: true, words: "Being tested", note };
  if (job?.state === "training") return { done: 1, now: true, words: "Training", note };
  if (state === "studying") return { done: 1, now: true, words: "Studying", note };
  return { done: 1, words: "Remembered", note };
}

// Versions have hashes for names; people count: v1 is the oldest that was made.
export function numbersOf(timeline = []) {
  const named = timeline.map(({ version }, index) => [version, `v${timeline.length - index}`]);
  return new Map(named.filter(([version]) => version)); // a refused one may have none
}

export const shortName = (version, numbers) => numbers.get(version) ?? version.slice(0, 6);

export const labelOf = (meta, numbers) =>
  meta.versions?.length ? meta.versions.map((each) => shortName(each, numbers)).join(" + ") : "base";

export function learnedOn(seconds) {
  const day = dayOf(seconds);
  return ["Today", "Yesterday"].includes(day) ? `Learned ${day.toLowerCase()}` : `Learned ${shortDate(seconds)}`;
}

// What a gate's check is called, and how its number reads.
const CHECKS = {
  recall: ["Recall in other words", percent],
  reverse: ["Asked the other way round", percent],
  earlier: ["Earlier lessons lost", percent],
  forgetting: ["Loss on", (value) => `${value < 0 ? "" : "+"}${value.toFixed(3)}`],
  locality: ["Other answers unchanged", percent],
  format: ["Answers that end well", percent],
  tools: ["Tool calls still right", percent],
  words: ["Banned words", String],
  size: ["Size of the change", percent],
};

// A check as the page shows it; one we do not know keeps its own name.
export function checkOf(name, { value, limit, detail }) {
  const [kind, domain] = name.split("/");
  const [known, read] = CHECKS[kind] ?? [kind.replaceAll("_", " "), String];
  const text = value === null || value === undefined ? "–" : read(value);
  return { label: domain ? `${known} ${domain.replaceAll("_", " ")}` : known, text, detail: detail || `The limit is ${limit}.` };
}
