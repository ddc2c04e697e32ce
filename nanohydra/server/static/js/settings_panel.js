// The settings dialog: system prompt, sampling, tools and the API key. Changes count at once.
import { connect } from "./connection.js";
import { setSystem, systemOf } from "./conversations.js";
import { html, useReducer } from "./html.js";
import { Dialog, DialogHead } from "./panels.js";
import { getSettings, readNumber, resetSampling, setSettings } from "./settings.js";
import { set } from "./store.js";

const SLIDERS = [
  {
    name: "temperature",
    label: "Temperature",
    bounds: { min: 0, max: 2 },
    step: 0.05,
    hint: "0 always takes the likeliest word; higher is more varied.",
  },
  {
    name: "top_p",
    label: "Top-p",
    bounds: { min: 0.05, max: 1 },
    step: 0.05,
    hint: "Leaves out the least likely words, up to this share of the probability.",
  },
];
const NUMBERS = [
  { name: "top_k", label: "Top-k", empty: "off", bounds: { min: 0, max: 1e6, whole: true } },
  { name: "max_tokens", label: "Max tokens", empty: "no limit", bounds: { min: 1, max: 1e6, whole: true } },
  { name: "seed", label: "Seed", empty: "random", bounds: { min: 0, max: 2 ** 53 - 1, whole: true } },
];

function typed({ target }, name, bounds) {
  const value = readNumber(target.value, bounds);
  target.value = value ?? ""; // what was no number goes away before the eyes
  return { [name]: value };
}

function Slider({ field, fallback, change }) {
  const { name, label, bounds, step, hint } = field;
  const value = getSettings()[name];
  const slide = ({ target }) => change({ [name]: Number(target.value) });
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <div class="slide">
      <input type="range" min=${bounds.min} max=${bounds.max} step=${step} value=${value ?? fallback}
        aria-label=${`${label}, slider`} onInput=${slide} />
      <input id=${name} inputmode="decimal" placeholder=${fallback} value=${value ?? ""}
        onChange=${(event) => change(typed(event, name, bounds))} />
    </div>
    <small>${hint}</small>
  </div>`;
}

function NumberField({ field, change }) {
  const { name, label, empty, bounds } = field;
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <input id=${name} inputmode="numeric" placeholder=${empty} value=${getSettings()[name] ?? ""}
      onChange=${(event) => change(typed(event, name, bounds))} />
  </div>`;
}

function SystemPrompt({ messages, redraw }) {
  const system = systemOf(messages);
  const keep = () => {
    setSettings({ system });
    redraw();
    set({ said: "Kept for new chats" });
  };
  const kept = getSettings().system === system;
  return html`<div class="field">
    <label for="system">System prompt
      ${!kept && html`<button type="button" class="text" onClick=${keep}>Use for new chats</button>`}
    </label>
    <textarea id="system" rows="3" placeholder="How the model should behave in this chat" value=${system}
      onInput=${({ target }) => setSystem(target.value)}></textarea>
    <small>Counts for this chat, from your next message on.</small>
  </div>`;
}

export function SettingsPanel({ state }) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  const settings = getSettings();
  const defaults = state.model?.defaults ?? { temperature: 0.7, top_p: 1 };
  const change = (patch) => {
    setSettings(patch);
    redraw();
  };
  const reset = () => {
    resetSampling();
    redraw();
  };
  const setKey = ({ target }) => {
    change({ key: target.value.trim() });
    connect();
  };
  return html`<${Dialog} kind="sheet" label="Settings">
    <${DialogHead} title="Settings" />
    <form class="fields" onSubmit=${(event) => event.preventDefault()}>
      <${SystemPrompt} messages=${state.messages} redraw=${redraw} />
      ${SLIDERS.map((field) => html`<${Slider} key=${field.name} field=${field} fallback=${defaults[field.name]} change=${change} />`)}
      <div class="pair">
        ${NUMBERS.map((field) => html`<${NumberField} key=${field.name} field=${field} change=${change} />`)}
      </div>
      <label class="check">
        <input type="checkbox" checked=${settings.tools} onChange=${({ target }) => change({ tools: target.checked })} />
        Let the model use its tools${state.model?.tools?.length ? ` (${state.model.tools.join(", ")})` : ""}
      </label>
      <div class="field">
        <label for="key">API key</label>
        <input id="key" type="password" autocomplete="off" placeholder="only where the server asks for one"
          value=${settings.key} onChange=${setKey} />
      </div>
      <div><button type="button" class="ghost" onClick=${reset}>Back to the defaults</button></div>
    </form>
  <//>`;
}
