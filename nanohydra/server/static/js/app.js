// The page as a whole: the columns, what lies over them, and the keys that work everywhere.
import { isRunning, stop } from "./answers.js";
import { Aside, ConflictPanel } from "./aside.js";
import { Bar } from "./bar.js";
import { Composer } from "./composer.js";
import { html, useEffect } from "./html.js";
import { Menu, Notice } from "./panels.js";
import { SearchPanel } from "./search_panel.js";
import { SettingsPanel } from "./settings_panel.js";
import { Side } from "./side.js";
import { get, set, useStore } from "./store.js";
import { Flow } from "./turns.js";

const NAME = "nanohydra";

function onKey(event) {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    set({ panel: get().panel === "search" ? null : "search", menu: null, drawer: false, aside: null });
  } else if (event.key === "Escape" && get().panel === null) {
    if (get().drawer || get().aside) set({ drawer: false, aside: null });
    else if (isRunning()) stop();
  }
}

export function App() {
  const state = useStore();
  const run = state.runs[state.current];
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const covered = state.drawer || state.aside !== null;
  const title = state.conversations?.find(({ id }) => id === state.current)?.title;
  useEffect(() => void (document.title = title ? `${title} · ${NAME}` : NAME), [title]);
  return html`
    <div class="app">
      <${Side} state=${state} />
      <div class=${`scrim ${covered ? "open" : ""}`} onClick=${() => set({ drawer: false, aside: null })}></div>
      <main inert=${covered}>
        <${Bar} state=${state} run=${run} />
        <${Flow} key=${state.current ?? "new"} state=${state} run=${run} />
        <${Composer} state=${state} run=${run} />
      </main>
      ${state.learning && html`<${Aside} state=${state} />`}
    </div>
    ${state.menu && html`<${Menu} menu=${state.menu} />`}
    ${state.panel === "settings" && html`<${SettingsPanel} state=${state} />`}
    ${state.panel === "conflict" && html`<${ConflictPanel} conflict=${state.conflict} />`}
    ${state.panel === "search" && html`<${SearchPanel} />`}
    ${state.notice && html`<${Notice} notice=${state.notice} />`}
    <div class="unseen" role="status" aria-live="polite">${state.said}</div>
  `;
}
