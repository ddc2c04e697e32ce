// The line above the conversation: which model answers, how fast, and how full its context is.
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { numbersOf } from "./lesson_text.js";
import { set } from "./store.js";

// The last answer's own figures; while one grows, its speed so far (a delta is about a token).
function figures(messages, run) {
  const meta = messages.findLast(({ role, meta }) => role === "assistant" && meta?.context)?.meta;
  let speed = meta?.timings?.tokens_per_s ?? null;
  if (run?.deltas > 4) speed = (run.deltas - 1) / ((performance.now() - run.firstAt) / 1000);
  return { speed, context: meta?.context ?? null };
}

export function Bar({ state, run }) {
  const { speed, context } = figures(state.messages, run);
  const length = context?.length ?? state.model?.context_length;
  const used = context?.tokens ?? 0;
  return html`<div class="bar">
    <button class="burger" aria-label="Chats" aria-expanded=${state.drawer} aria-controls="side"
      onClick=${() => set({ drawer: true })}><${Icon} name="burger" /></button>
    <span class="pick" title=${aboutModel(state.model)}><b>${state.model?.id ?? "…"}</b></span>
    ${state.learning && html`<${Answering} state=${state} />`}
    <div class="meter">
      ${speed !== null && html`<span class="speed" title="Tokens per second">${Math.round(speed)} tok/s</span>`}
      ${speed !== null && length && html`<span class="speed" aria-hidden="true">·</span>`}
      ${length &&
      html`<span class=${used / length > 0.9 ? "full" : ""} title="Tokens of the context in use" role="meter"
        aria-label="Tokens of the context in use" aria-valuemin="0" aria-valuemax=${length}
        aria-valuenow=${used} aria-valuetext=${`${used} of ${length}`}>${used} / ${length}</span>`}
    </div>
    ${state.learning &&
    html`<button class="opener" aria-label="Learning" aria-expanded=${state.aside !== null} aria-controls="learning"
      onClick=${() => set({ aside: "look" })}><${Icon} name="learn" /></button>`}
  </div>`;
}

const NAMED = 8; // of the latest versions

// Who answers: auto lets the router choose among what is live.
function Answering({ state }) {
  const { board, aliases } = state.learning;
  const numbers = numbersOf(board.timeline);
  const made = board.timeline.filter(({ state }) => state !== "refused").slice(0, NAMED);
  const names = [["auto", "auto"], ["base", "base"]];
  if (aliases.length > 1) names.push(...aliases.map(({ name }) => [name, name]));
  names.push(...made.map(({ version, alias }) => [`${alias}@${version}`, `${alias} @ ${numbers.get(version)}`]));
  const pick = ({ target }) => set({ answering: target.value });
  return html`<span class="pick who">
    <select aria-label="Who answers" value=${state.answering} onChange=${pick}>
      ${names.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}
    </select><${Icon} name="chevron" />
  </span>`;
}

function aboutModel(model) {
  if (!model) return "";
  const tools = model.tools.length ? `; tools: ${model.tools.join(", ")}` : "";
  return `Reads ${model.context_length} tokens at most${tools}`;
}
